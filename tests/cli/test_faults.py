"""Bad input and faults: one clean message that names the remedy, and the exit code for it."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from session_router.cli.exit_codes import MEANINGS
from tests.cli.program import Done, Program
from tests.support.databases import PostgresDatabases

COMMANDS = [
    ["sessions", "list"],
    ["sessions", "show", "s"],
    ["sessions", "interrupt", "s"],
    ["sessions", "end", "s"],
    ["events", "s"],
    ["sweep"],
    ["db", "downgrade", "base"],
]


def assert_clean(done: Done) -> None:
    """One message for a person, and no more."""
    assert done.out == ""
    assert re.fullmatch(r"Error: .+\n", done.err), done.err
    assert "s3cret" not in done.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_missing_file_is_not_made_by_looking_for_it(program: Program, command: list[str]) -> None:
    done = program(*command)

    assert done.code == 4
    assert_clean(done)
    assert "session_router.db" in done.err
    assert "session-router db upgrade" in done.err
    assert list(program.folder.iterdir()) == []


def test_the_state_of_a_missing_file_is_told_without_making_it(program: Program) -> None:
    assert program("db", "current", "--json").json["revision"] is None
    check = program("db", "check", "--json")

    assert check.code == 1
    assert "session-router db upgrade" in check.json["differences"][0]
    assert list(program.folder.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_a_database_without_tables_is_refused(
    program: Program, postgres: PostgresDatabases, command: list[str]
) -> None:
    with postgres.fresh(empty=True) as url:
        done = program(*command, "--database-url", url)

    assert done.code == 4
    assert_clean(done)
    assert "session-router db upgrade" in done.err


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("", "database URL"),
        ("nonsense://ann:s3cret@host", "'nonsense'"),
        ("s3cret", "database URL"),
        ("mysql://ann:s3cret@host/db", "mysql://ann:***@host/db"),
        ("postgresql://ann:s3cret@host:port/db", "database URL"),
        ("sqlite://ann:s3cret@host/file.db", "three slashes"),
        ("sqlite://", "in memory"),
        ("postgresql://ann:s3cret@host/db?loop=x&password=s3cret", "'loop'"),
        ("postgresql://ann:s3cret@host/db?statement_cache_size=none", "whole number"),
        ("postgresql://ann:s3cret@one:1,two:x/db", "'two:x'"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(
    program: Program, url: str, named: str
) -> None:
    for command in (["db", "upgrade"], ["db", "sql"], ["sessions", "list"], ["serve"]):
        done = program(*command, "--database-url", url)

        assert done.code == 2
        assert_clean(done)
        assert named in done.err


def test_an_unreachable_database_is_told_of_without_its_password(
    program: Program, postgres_url: str
) -> None:
    url = make_url(postgres_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    for wrong in (
        url.set(port=closed, password="s3cret"),
        url.set(password="s3cret-too"),
        url.set(database="nobody's"),
        url.set(host="nowhere.invalid"),
        make_url(f"sqlite:///{program.folder}/no/such/folder.db"),
    ):
        done = program("db", "upgrade", "--database-url", wrong.render_as_string(False))

        assert done.code == 3, wrong
        assert_clean(done)


def test_a_database_that_does_not_answer_is_not_waited_for_in_vain(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://a@127.0.0.1:{port}/b?connect_timeout=0.1"
        done = program("sessions", "list", "--database-url", url)

    assert done.code == 3
    assert_clean(done)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["events", ""], "session_id"),
        (["events", "x" * 256], "256"),
        (["events", "lone\udc80surrogate"], "surrogate"),
        (["sessions", "show", ""], "session_id"),
        (["sessions", "end", "x" * 256], "256"),
        (["sessions", "interrupt", "s", "--agent", "no slash"], "type/key"),
        (["sessions", "interrupt", "s", "--agent", "ty pe/key"], "'ty pe'"),
        (["sessions", "interrupt", "s", "--actor", "x" * 2_001], "actor"),
        (["sessions", "end", "s", "--reason", "x" * 2_001], "reason"),
        (["serve", "--port", "70000"], "SESSION_ROUTER_HTTP_PORT"),
    ],
    ids=str,
)
def test_a_value_that_is_not_acceptable_is_named(
    program: Program, sqlite_url: str, arguments: list[str], named: str
) -> None:
    done = program(*arguments, "--database-url", sqlite_url)

    assert done.code == 2
    assert_clean(done)
    assert named in done.err


def test_a_setting_that_is_not_acceptable_is_named(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_SESSION_TIMEOUT_MINUTES", "-3")

    done = program("sweep")

    assert done.code == 2
    assert_clean(done)
    assert "SESSION_ROUTER_SESSION_TIMEOUT_MINUTES='-3'" in done.err


@pytest.mark.parametrize("arguments", [["evnts"], ["events"], ["db", "check", "--jsn"]], ids=str)
def test_wrong_usage_ends_with_2(program: Program, arguments: list[str]) -> None:
    assert program(*arguments).code == 2


def test_machines_get_errors_as_json(program: Program) -> None:
    done = program("events", "s", "--json")

    assert (done.code, done.out) == (4, "")
    error = json.loads(done.err)["error"]
    assert (error["type"], error["exit_code"]) == ("SchemaError", 4)
    assert "session-router db upgrade" in error["message"]


def test_help_names_every_exit_code(program: Program) -> None:
    done = program("--help")

    assert done.code == 0
    for code, meaning in MEANINGS.items():
        assert f"{code}  {meaning}" in done.out


def test_ctrl_c_ends_quietly_with_130(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"postgresql://a:s3cret@127.0.0.1:{silent.getsockname()[1]}/b"
        with program.process("db", "upgrade", database_url=url) as process:
            connection, _ = silent.accept()  # it waits for an answer now
            with connection:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (130, "", "")


FAILS_WHEN_INTERRUPTED = """
import signal, sys
from session_router.cli import main

def interrupt(frame, event, _):
    if event == "call" and frame.f_code.co_qualname == "DatabaseUnavailableError.__init__":
        signal.raise_signal(signal.SIGINT)

sys.argv = ["session-router", "sessions", "list"]
sys.setprofile(interrupt)
main()
"""


def test_ctrl_c_while_the_command_is_failing_ends_quietly_with_130(program: Program) -> None:
    """The error is under way, and nothing is left that could be cancelled."""
    done = program.run_script(
        FAILS_WHEN_INTERRUPTED, database_url="postgresql://a:s3cret@127.0.0.1:1/b"
    )

    assert (done.code, done.out, done.err) == (130, "", "")


def test_a_reader_that_has_seen_enough_is_no_error_to_be_told_of(
    program: Program, sqlite_url: str
) -> None:
    with program.process("db", "sql", database_url=sqlite_url) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_fault_of_a_process_is_as_clean(program: Program) -> None:
    done = program.run_process(
        "sessions", "list", database_url="postgresql://a:s3cret@127.0.0.1:1/b"
    )

    assert done.code == 3
    assert_clean(done)


def test_serve_without_its_extra_names_what_to_install(program: Program, tmp_path: Path) -> None:
    """As if FastAPI were not there: its import fails in the same way."""
    script = (
        "import sys; sys.modules['fastapi'] = None; sys.argv = ['session-router', 'serve']; "
        "from session_router.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert_clean(Done(done.returncode, done.stdout, done.stderr))
    assert "pip install 'session-router[http]'" in done.stderr


def test_only_serve_imports_the_web_framework(program: Program) -> None:
    script = (
        "import sys; sys.argv = ['session-router', '--version']\n"
        "from session_router.cli import main\n"
        "try: main()\n"
        "finally: assert not {'fastapi', 'uvicorn', 'starlette'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
