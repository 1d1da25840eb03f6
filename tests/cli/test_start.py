"""How the program starts: what a call does not need is not imported. Counted, never timed."""

import json

import pytest

from tests.cli.program import Program

HEAVY = {
    *("aiosqlite", "alembic", "asyncpg", "fastapi", "httpx", "jinja2", "matplotlib", "pyarrow"),
    *("prometheus_client", "pydantic", "rich", "sqlalchemy", "starlette", "uvicorn", "uvloop"),
}
"""What takes long to import, each some tenths of a second of the three that a start may take."""

LISTED = 200
"""How many modules a list of commands imports at the most: Python and typer are 145, we 20."""

DECLARED = 260
"""And the help of one command, or its completion: asyncio is 50 more; or the version, for which
the package's metadata is read."""

READING = 680
"""And a command that reads an SQLite file: SQLAlchemy is 150, as its asyncio extension brings its
ORM along, asyncpg, whose errors the repository knows, 25, pydantic 50, we 90."""

TELLING = """
import atexit, json, sys
from session_router.cli import main

def tell():
    modules = sorted(name for name, module in sys.modules.items() if module is not None)
    print(json.dumps(modules), file=sys.stderr)

atexit.register(tell)
sys.argv = ["session-router", *{arguments}]
main()
"""


def imported(program: Program, *arguments: str) -> set[str]:
    """The modules that a call of the program has imported by its end."""
    done = program.run_script(TELLING.format(arguments=list(arguments)))
    return set(json.loads(done.err.splitlines()[-1]))


@pytest.mark.parametrize("arguments", ["--help", "sessions --help", "nonsense"])
def test_what_tells_of_commands_imports_none_of_them(program: Program, arguments: str) -> None:
    modules = imported(program, *arguments.split())

    assert modules & (HEAVY | {"asyncio"}) == set()
    assert len(modules) < LISTED


@pytest.mark.parametrize(
    "command",
    [
        *(
            "--version",
            "serve",
            "events",
            "report",
            "sweep",
            "top",
            "workers",
            "db upgrade",
            "db grants",
        ),
        *("sessions list", "sessions interrupt", "sessions end", "sessions erase"),
        *("audit verify", "audit export", "keys create", "hooks add"),
    ],
)
def test_the_help_of_a_command_imports_nothing_that_carries_it_out(
    program: Program, command: str
) -> None:
    modules = imported(program, *command.split(), "--help")

    assert modules & HEAVY == set()
    assert len(modules) < DECLARED


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("typed", ["", "report ", "report streams --format ", "keys create --"])
def test_the_shell_completes_without_what_a_command_needs(
    program: Program, monkeypatch: pytest.MonkeyPatch, shell: str, typed: str
) -> None:
    monkeypatch.setenv("_SESSION_ROUTER_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", f"session-router {typed}")
    monkeypatch.setenv("COMP_CWORD", str(1 + typed.count(" ")))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"session-router {typed}")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")

    modules = imported(program)

    assert modules & HEAVY == set()
    assert len(modules) < DECLARED


def test_a_command_that_reads_imports_neither_the_service_nor_the_migrations(
    program: Program, sqlite_url: str
) -> None:
    modules = imported(program, "events", "x", "--database-url", sqlite_url)

    assert "sqlalchemy" in modules
    assert modules & HEAVY <= {"aiosqlite", "asyncpg", "pydantic", "sqlalchemy"}
    assert len(modules) < READING
