"""`session-router top`, at real terminals, in pipes, and over outages."""

import json
import os

import pytest

from session_router import AgentId, SessionManager, SessionRepository, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade
from tests.cli.program import Program
from tests.cli.terminal import GIVEN_BACK, TerminalProgram
from tests.cli.test_db import execute
from tests.cli.test_sessions import program, repository, worker
from tests.support.postgres import PostgresServer
from tests.support.trail import events

__all__ = ["program", "repository", "worker"]

WRITER, CRITIC = AgentId("writer", "a"), AgentId("critic", "b")
DOWN = "\x1b[B"


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
