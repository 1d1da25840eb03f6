"""`session-router top`, at real terminals, in pipes, and over outages."""

import json
import os
import signal

import pytest

from session_router import AgentId, SessionManager, SessionRepository, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade
from tests.cli.program import Program
from tests.cli.terminal import TerminalProgram
from tests.cli.test_db import execute
from tests.cli.test_sessions import program, repository, worker
from tests.support.postgres import PostgresServer
from tests.support.trail import events

__all__ = ["program", "repository", "worker"]

WRITER, CRITIC = AgentId("writer", "a"), AgentId("critic", "b")
DOWN = "\x1b[B"
GIVEN_BACK = b"\x1b[?25h\x1b[?1049l"


@pytest.fixture
async def streaming(worker: SessionManager) -> SessionManager:
    """A worker, in a process that is not the program's, with two streams."""
    await worker.register_agent("chat-1", WRITER)
    await worker.register_agent("chat-2", CRITIC)
    return worker


async def test_a_stream_of_another_process_is_stopped_by_two_keys(
    program: Program, streaming: SessionManager, repository: SessionRepository
) -> None:
    with TerminalProgram.started(program, "top", "--actor", "ann", "--every", "500ms") as top:
        first = await top.sees("WORKERS (1)", "STREAMS, the oldest first (2)", "q leave")
        top.press(DOWN)
        await top.sees("> critic/b in chat-2")
        top.press("s")
        await top.sees("y/n? stop critic/b in chat-2")
        top.press("y")
        after = await top.sees("first (1)", "stop delivered", "delivered: critic/b in chat-2")
        top.press("q")
        code = await top.ends()

    assert code == 0
    assert len(first) == len(after) == 30
    assert max(map(len, first + after)) <= 100
    assert [row.agent_id for row in await repository.list_streams("chat-1")] == [WRITER]
    assert await repository.list_streams("chat-2") == []
    [asked] = await events(repository, "interrupt_requested")
    assert (asked.session_id, asked.actor, asked.detail) == ("chat-2", "ann", "top")


async def test_what_is_not_confirmed_is_not_stopped(
    program: Program, streaming: SessionManager, repository: SessionRepository
) -> None:
    with TerminalProgram.started(program, "top") as top:
        await top.sees("> chat-1")
        top.press("s")
        await top.sees("y/n?")
        top.press("n")
        await top.sees("nothing was stopped")
        top.press("\x03")
        assert await top.ends() == 0

    assert await events(repository, "interrupt_requested") == []


async def test_streams_are_filtered_by_a_part_of_session_or_agent(
    program: Program, streaming: SessionManager
) -> None:
    with TerminalProgram.started(program, "top") as top:
        await top.sees("chat-1", "chat-2")
        top.press("/RITER")
        narrowed = await top.sees("with 'RITER' in their names", "filter by", "> chat-1")
        top.press("\x7f" * 5 + "t-2\r")
        other = await top.sees("with 't-2' in their names", "q leave", "> chat-2")
        top.press("/\x1b")
        await top.sees("chat-1", "chat-2", "q leave")

    assert "chat-2" not in "".join(narrowed)
    assert "chat-1" not in "".join(other)


async def test_the_picture_follows_the_size_of_the_terminal(
    program: Program, streaming: SessionManager
) -> None:
    await streaming.register_agent("会话-" + "x" * 200, AgentId("writer", "\x1b[2J" + "y" * 200))
    with TerminalProgram.started(program, "top", columns=60, lines=20) as top:
        narrow = await top.sees("chat-1", "q leave")
        top.resize(120, 40)
        wide = await top.sees(str(streaming.worker_id), "q leave")
        assert (len(narrow), len(wide)) == (20, 40)
        top.resize(20, 5)
        await top.sees("up/down choose")
        top.press("q")
        assert await top.ends() == 0

    assert b"\x1b[2Jy" not in top.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_ends_it_and_the_terminal_is_as_it_was(
    program: Program, streaming: SessionManager, number: signal.Signals
) -> None:
    with TerminalProgram.started(program, "top") as top:
        before = top.mode
        await top.sees("> chat-1")
        taken = top.mode
        top.send(number)
        code = await top.ends()
        after = top.mode

    assert code == 0
    assert taken != before
    assert after == before
    assert top.written.endswith(GIVEN_BACK)


async def test_an_error_is_told_on_the_terminal_as_it_was(
    program: Program, streaming: SessionManager, database_url: str
) -> None:
    table = "hook_deliveries"
    with TerminalProgram.started(program, "top", "--every", "500ms") as top:
        before = top.mode
        await top.sees("> chat-1")
        execute(database_url, f"ALTER TABLE session_router.{table} RENAME TO of_somebody")
        code = await top.ends()
        after = top.mode
    execute(database_url, f"ALTER TABLE session_router.of_somebody RENAME TO {table}")

    assert code == 4
    assert after == before
    told = top.written.partition(GIVEN_BACK)[2].decode()
    assert told.startswith("Error: ")
    assert table in told


async def test_an_outage_is_shown_and_it_goes_on_behind_it(program: Program) -> None:
    with PostgresServer() as server:
        url = server.create_database("watched")
        await upgrade(Target(url))
        made = SQLAlchemySessionRepository.from_url(url)
        await SessionManager(made).start_session("chat-1")
        await made.close()
        call = ("top", "--every", "500ms", "--database-url", url)
        with TerminalProgram.started(program, *call) as top:
            await top.sees("sessions 1", "q leave")
            server.stop("immediate")
            away = await top.sees("No answer from the database since", "sessions 1")
            server.start()
            back = await top.sees("sessions 1", "trail", "q leave")
            while "No answer from" in "".join(back):
                back = await top.sees("sessions 1", "WORKERS", "q leave")
            top.press("q")
            assert await top.ends() == 0

    assert any("cannot be reached" in line or "connection" in line for line in away)


async def test_a_pipe_gets_one_picture_without_anything_that_terminals_obey(
    program: Program, streaming: SessionManager
) -> None:
    long = "x" * 200
    await streaming.register_agent(long, AgentId("writer", "\x1b[2J\u202e"))

    piped = await program.call("top")
    once = await program.call("top", "--once")

    assert (piped.code, piped.err) == (once.code, once.err) == (0, "")
    for done in (piped, once):
        assert done.out.replace("\n", "").isprintable()
        assert "WORKERS (1)" in done.out
        assert long in done.out
        assert r"writer/\x1b[2J\u202e" in done.out


async def test_json_is_one_document_each_time_it_is_read(
    program: Program, streaming: SessionManager
) -> None:
    with program.process("top", "--json", "--every", "500ms") as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    once = (await program.call("top", "--json", "--once")).json

    assert first["read_at"] < second["read_at"] < once["read_at"]
    assert first.keys() == once.keys()
    assert (once["sessions"], once["streams"], once["signals_open"]) == (2, 2, 0)
    assert [line["agent_id"] for line in once["stream_list"]] == ["writer/a", "critic/b"]
    [told] = once["worker_list"]
    assert (told["worker_id"], told["pid"]) == (str(streaming.worker_id), os.getpid())
    assert told["streams"] == 2
    assert not told["is_lost"]


async def test_a_pause_out_of_range_is_refused(program: Program) -> None:
    for given in ("499ms", "61s", "0s", "often"):
        done = program("top", "--every", given)
        assert (done.code, done.out) == (2, "")
        assert f"--every {given!r}" in done.err


async def test_a_system_without_such_terminals_is_told_of_once(program: Program) -> None:
    without = (
        "import sys; sys.modules['termios'] = None; sys.argv = ['session-router', 'top']; "
        "from session_router.cli import main; main()"
    )
    with TerminalProgram.started(program, script=without) as top:
        code = await top.ends()

    assert code == 1
    assert b"use --once, or --json." in top.written
