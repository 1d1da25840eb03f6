"""`session-router db grants`: what each role of PostgreSQL is to be allowed."""

from typing import Annotated

import typer

from session_router.cli import output
from session_router.cli.options import DatabaseUrl, settings_of, target_of
from session_router.errors import InvalidValueError


def grants(
    app: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="Runs the service and workers.", show_default=False),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="Reads everything, and verifies.", show_default=False),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="Seals, prunes and erases.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print the GRANTs for roles of least privilege.

    For the tables' owner to run, after every upgrade anew. The database is not asked, and the
    roles must exist. Nobody gets the right to change or delete an event.
    """
    from session_router.database import grants as roles

    target = target_of(settings_of(database_url))
    if target.schema_name is None:
        raise InvalidValueError("SQLite has no roles; name a PostgreSQL database.")
    for statement in roles.grants(target.schema_name, app=app, reader=reader, retention=retention):
        output.say(statement)
