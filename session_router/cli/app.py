"""The program's commands: where each one is, and its line in the lists."""

from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from session_router.cli.exit_codes import MEANINGS
from session_router.cli.lazy import Group, LazyCommand

# \b keeps the help formatter from joining the lines.
_EXIT_CODES: Final = "\n".join(
    ["\b", "Exit codes:", *(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())]
)


def _group(name: str, help_: str, *commands: LazyCommand) -> Group:
    return Group(
        name=name,
        help=help_,
        short_help=help_,
        commands=commands,
        no_args_is_help=True,
        rich_markup_mode=None,
    )


# Where a module or function is new, its command is told of here; what a list says of a command is
# how its own help begins.
_COMMANDS: Final = (
    LazyCommand("serve", "Run the HTTP service.", "serve:serve"),
    LazyCommand("events", "Tell all that happened in a session.", "events:events"),
    LazyCommand("report", "Report what happened.", "report:report"),
    LazyCommand("sweep", "Expire idle sessions now.", "sweep:sweep"),
    LazyCommand("top", "Show what streams where, live; stop it by a key.", "top.command:top"),
    LazyCommand("workers", "List the workers, their streams and heartbeats.", "workers:workers"),
    _group(
        "db",
        "Create, change and check the database's tables.",
        LazyCommand("upgrade", "Bring the tables to REVISION, or to the newest.", "db:upgrade"),
        LazyCommand("downgrade", "Take the tables back to REVISION.", "db:downgrade"),
        LazyCommand("current", "Show which revision the database is at.", "db:current"),
        LazyCommand("history", "List the revisions that this version knows.", "db:history"),
        LazyCommand("check", "Compare the database with what this version needs.", "db:check"),
        LazyCommand("sql", "Print the SQL of revisions, for somebody else to run.", "db:sql"),
        LazyCommand("grants", "Print the GRANTs for roles of least privilege.", "grants:grants"),
    ),
    _group(
        "sessions",
        "Look at live sessions; stop what streams in them.",
        LazyCommand("list", "List the live sessions, or those that match.", "sessions:list_"),
        LazyCommand("show", "Show a live session and who streams in it.", "sessions:show"),
        LazyCommand(
            "interrupt", "Stop what streams in a session, or anywhere.", "interrupt:interrupt"
        ),
        LazyCommand("end", "End a session, or all of an owner.", "end:end"),
        LazyCommand("erase", "Erase a session, or all of an owner, from the trail.", "erase:erase"),
    ),
    _group(
        "audit",
        "Check, seal, export and prune the audit trail.",
        LazyCommand("verify", "Check the conservation laws and the seals.", "audit:verify_"),
        LazyCommand("seal", "Seal the trail up to now.", "audit:seal_"),
        LazyCommand("seals", "List the seals, oldest first.", "audit:seals_"),
        LazyCommand(
            "public-key", "Print the key that others check the seals by.", "audit:public_key_"
        ),
        LazyCommand("export", "Export events.", "export:export"),
        LazyCommand("prune", "Remove old stories from the trail.", "prune:prune"),
    ),
    _group(
        "keys",
        "Keys of those who call the service.",
        LazyCommand("create", "Make a key, and print it: nobody can tell it later.", "keys:create"),
        LazyCommand("list", "List all keys that ever were.", "keys:list_keys"),
        LazyCommand("revoke", "Have a key refused from now on.", "keys:revoke"),
    ),
    _group(
        "hooks",
        "Other systems that are told of ends.",
        LazyCommand("add", "Have a system told, and print its secret.", "hooks:add"),
        LazyCommand("list", "List who is told of what.", "hooks:list_hooks"),
        LazyCommand("remove", "Tell a system nothing more.", "hooks:remove"),
        LazyCommand("dead", "List what was given up.", "hooks:dead"),
        LazyCommand("send-again", "Try again what was given up.", "hooks:send_again"),
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("session-router"))
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def program() -> Any:
    """The whole program, to be called with its arguments.

    Returns:
        click's command; typer has a private copy of its class.
    """
    app = typer.Typer(
        cls=Group,
        name="session-router",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog=_EXIT_CODES,
        help="A durable session service for multi-agent systems.",
    )
    app.callback()(_root)
    root = get_command(app)
    assert isinstance(root, Group)
    for command in _COMMANDS:
        root.add_command(command)
    return root
