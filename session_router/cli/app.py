"""The program's commands, put together."""

from importlib.metadata import version
from typing import Annotated

import typer

from session_router.cli import audit, db, hooks, keys, sessions
from session_router.cli.events import events
from session_router.cli.exit_codes import MEANINGS
from session_router.cli.report import report
from session_router.cli.serve import serve
from session_router.cli.sweep import sweep
from session_router.cli.workers import workers

# \b keeps the help formatter from joining the lines.
_EXIT_CODES = "\n".join(
    ["\b", "Exit codes:", *(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())]
)

app = typer.Typer(
    name="session-router",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=_EXIT_CODES,
    help="A durable session service for multi-agent systems.",
)
app.command()(serve)
app.add_typer(db.app, name="db")
app.add_typer(sessions.app, name="sessions")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(hooks.app, name="hooks")
app.command()(events)
app.command()(report)
app.command()(sweep)
app.command()(workers)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("session-router"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass
