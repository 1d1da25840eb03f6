"""`session-router top` and its terminal: keys, sizes, signals."""

import signal
from collections.abc import AsyncIterator

import pytest

from session_router import AgentId, SessionManager, SessionRepository, SQLAlchemySessionRepository
from tests.cli.program import Program
from tests.cli.terminal import GIVEN_BACK, TerminalProgram
from tests.support.runtimes import Runtime
from tests.support.trail import events


@pytest.fixture
def program(program: Program, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, told by the environment which database to use."""
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", sqlite_url)
    return program


@pytest.fixture
async def repository(sqlite_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(sqlite_url)
    yield made
    await made.close()


@pytest.fixture
async def streaming(repository: SQLAlchemySessionRepository) -> AsyncIterator[SessionManager]:
    """A worker, in a process that is not the program's, with two streams."""
    async with SessionManager(repository, Runtime()) as manager:
        await manager.register_agent("chat-1", AgentId("writer", "a"))
        await manager.register_agent("chat-2", AgentId("critic", "b"))
        yield manager


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
