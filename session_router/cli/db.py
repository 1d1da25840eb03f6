"""`session-router db`: the tables, and the migrations that make them."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from session_router.cli import output
from session_router.cli.connection import missing_file, no_such_file
from session_router.cli.exit_codes import ExitCode
from session_router.cli.options import DatabaseUrl, Json, settings_of, target_of
from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.errors import SchemaError

app = typer.Typer(no_args_is_help=True, help="Create, change and check the database's tables.")


@app.command()
def upgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="See 'db history'.")] = "head",
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Bring the tables to REVISION, the newest unless one is named.

    Creates a missing SQLite file. Of those that start together on one PostgreSQL database, one
    does the work and the others wait for it.
    """
    target = target_of(settings_of(database_url))
    _move(target, migrate.upgrade(target, revision), as_json)


@app.command()
def downgrade(
    revision: Annotated[
        str,
        typer.Argument(
            metavar="REVISION", help="See 'db history'; base: before the first.", show_default=False
        ),
    ],
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Take the tables back to REVISION. What newer revisions added is lost."""
    target = target_of(settings_of(database_url))
    if (path := missing_file(target)) is not None:
        raise SchemaError(no_such_file(path))
    _move(target, migrate.downgrade(target, revision), as_json)


@app.command()
def current(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Show the revision that the database is at."""
    target = target_of(settings_of(database_url))
    revision, newest = _current(target), migrate.head()
    if as_json:
        output.show_json({"revision": revision, "newest": newest})
    elif revision == newest:
        output.say(f"{revision}, the newest that this version knows")
    elif revision is None:
        output.say(f"none: the database has no tables of session_router (newest: {newest})")
    else:
        output.say(f"{revision} (newest that this version knows: {newest})")


@app.command()
def history(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List the revisions that this version knows, newest first.

    Asks no database, unless one is named by --database-url: then its revision is marked.
    """
    here = _current(target_of(settings_of(database_url))) if database_url is not None else None
    steps = migrate.history()
    if as_json:
        output.show_json([vars(step) | {"is_current": step.revision == here} for step in steps])
        return
    output.show_rows(
        ("revision", "follows", "summary", ""),
        (
            (
                step.revision,
                step.down_revision or "",
                step.summary,
                "the database is here" if step.revision == here else "",
            )
            for step in steps
        ),
    )


@app.command()
def check(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Compare the database with what this version needs.

    Exits with 1 where they differ. Tables, columns, indexes, constraints, triggers and views are
    compared by definition.
    """
    target = target_of(settings_of(database_url))
    path = missing_file(target)
    faults = [no_such_file(path)] if path is not None else asyncio.run(migrate.check(target))
    if as_json:
        output.show_json({"ok": not faults, "differences": faults})
    elif not faults:
        output.say(f"the database is as this version needs it ({migrate.head()})")
    else:
        for fault in faults:
            output.say(output.escape(fault))
    if faults:
        raise typer.Exit(ExitCode.FAULT)


@app.command()
def sql(
    revisions: Annotated[
        str, typer.Argument(metavar="FROM:TO", help="Or TO alone: from the first.")
    ] = "head",
    database_url: DatabaseUrl = None,
) -> None:
    """Print the SQL of revisions, for somebody else to run. The database is not asked."""
    target = target_of(settings_of(database_url))
    output.say(asyncio.run(migrate.sql(target, revisions)).rstrip())


def _move(target: Target, move: Coroutine[Any, Any, None], as_json: bool) -> None:
    with _steps_shown() as steps:
        asyncio.run(move)
    revision = _current(target)
    if as_json:
        output.show_json({"revision": revision, "steps": steps})
        return
    done = "the database is at" if steps else "nothing to do, the database is at"
    output.say(f"{done} {revision or 'no revision: it has no tables of session_router'}")


def _current(target: Target) -> str | None:
    if missing_file(target) is not None:
        return None
    return asyncio.run(migrate.current(target))


@contextmanager
def _steps_shown() -> Iterator[list[str]]:
    """Show and collect the steps that are taken; Alembic tells of each in its log."""
    steps: list[str] = []

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg == "Running %s":
                steps.append(" ".join(record.getMessage().split()[1:]))
                output.note(steps[-1])

    log, handler = logging.getLogger("alembic.runtime.migration"), Shown()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield steps
    finally:
        log.removeHandler(handler)
