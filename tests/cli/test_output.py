"""What a person sees: tables in a terminal, lines in a pipe, nothing that a terminal obeys."""

import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.cli.output import duration, escape, moment
from tests.cli.program import Program
from tests.cli.test_db import execute
from tests.http.ids import HOSTILE_IDS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("écrit 写 👍", "écrit 写 👍"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("right\u202eto left", r"right\u202eto left"),
        (r"a backslash \n of its own", r"a backslash \\n of its own"),
        ("  blanks ", r"\x20\x20blanks\x20"),
        (" ", r"\x20"),
        ("", ""),
    ],
)
def test_text_is_shown_on_one_line(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_no_two_ids_look_alike() -> None:
    ids = {*HOSTILE_IDS, "a", " a", "a ", "\\n", "\n", "\\\n", "\\\\n", "\\x20a"}

    assert len({escape(text) for text in ids}) == len(ids)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (7.04, "7.0 s"),
        (119.7, "2 min 00 s"),
        (3_599.9, "60 min 00 s"),
        (3_600, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_a_duration_is_shown_in_the_unit_that_reads_best(seconds: float, shown: str) -> None:
    assert duration(timedelta(seconds=seconds)) == shown


def test_a_moment_is_shown_in_utc() -> None:
    assert moment(datetime(2024, 2, 29, 12, 0, 0, 123_456, UTC)) == "2024-02-29 12:00:00.123"


def test_what_a_database_tells_of_itself_moves_no_terminal(
    program: Program, database_url: str
) -> None:
    hostile = "\x1b[2J\u202e"
    execute(
        database_url, f"UPDATE session_router.session_router_version SET version_num = '{hostile}'"
    )

    done = program("db", "current", "--database-url", database_url)

    assert r"\x1b[2J\u202e" in done.out
    assert (done.out + done.err).replace("\n", "").isprintable()


def in_terminal(program: Program, *arguments: str, columns: int = 100) -> str:
    """What the program writes to a terminal of that width, but for the styles."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "session_router", *arguments]
    process = subprocess.Popen(
        command, cwd=program.folder, env=env, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    written = b""
    try:
        while piece := os.read(leader, 65_536):
            written += piece
    except OSError:  # how Linux tells that the other end is closed
        pass
    finally:
        os.close(leader)
        process.wait(20)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode().replace("\r\n", "\n"))


async def test_a_table_too_wide_for_the_terminal_shows_every_column(
    program: Program, sqlite_url: str
) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    manager = SessionManager(repository)
    await manager.register_agent("chat-1", AgentId("writer", "ann"))

    told = in_terminal(program, "report", "streams", "--live", columns=80)
    await manager.shutdown()
    await repository.close()

    [row] = [line.split() for line in told.splitlines() if "chat-1" in line]
    assert row[:3] == ["chat-1", "writer", "ann"]
    assert max(map(len, told.splitlines())) == 80


async def test_a_terminal_gets_tables_that_no_id_can_break(
    program: Program, sqlite_url: str
) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    manager = SessionManager(repository)
    for hostile in HOSTILE_IDS:
        await manager.start_session(hostile)
    await manager.register_agent("s", AgentId("writer", "[bold]a\x1b[2J\n"))
    await manager.interrupt_streaming_agents("s", actor="ann", reason="\u202eenough :smile:")
    await manager.shutdown()
    await repository.close()

    listed = in_terminal(program, "sessions", "list")
    told = in_terminal(program, "events", "s")
    narrow = in_terminal(program, "events", "s", columns=40)

    for table in (listed, told, narrow):
        assert table.replace("\n", "").isprintable()
    assert all(len(line) <= 100 for line in told.splitlines())
    assert all(len(line) <= 40 for line in narrow.splitlines())
    assert r"writer/[bold]a\x1b[2J\n" in told
    assert r"by ann: \u202eenough :smile:" in told
    assert "─" in told
