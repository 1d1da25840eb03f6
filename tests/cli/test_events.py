"""`session-router events` since a time, and as it goes on."""

import json
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from tests.audit.conftest import tamper
from tests.cli.program import Program
from tests.support.sql import is_sqlite


@pytest.fixture
async def manager(database_url: str) -> Any:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    yield SessionManager(repository)
    await repository.close()


@pytest.fixture
def program(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    return program


async def happened_long_ago(url: str, session_id: str, ago: timedelta) -> None:
    time = (datetime.now(UTC) - ago).strftime("%Y-%m-%d %H:%M:%S.%f")
    zone = "" if is_sqlite(url) else "+00"
    await tamper(
        url,
        "INSERT INTO session_router.session_events (session_id, session_uid, event, occurred_at) "
        f"VALUES ('{session_id}', '00000000-0000-0000-0000-000000000001', 'session_started', "
        f"'{time}{zone}')",
    )


async def test_what_was_earlier_is_left_out(
    program: Program, manager: SessionManager, database_url: str
) -> None:
    for session_id, hours in (("old", 50), ("older", 30), ("s", 3)):
        await happened_long_ago(database_url, session_id, timedelta(hours=hours))
    await manager.start_new_session("s")

    told = (await program.call("events", "--since", "40h", "--json")).json_lines
    assert [event["session_id"] for event in told] == ["older", "s", "s"]
    told = (await program.call("events", "--since", "2h")).rows
    assert [row[:1] + row[2:3] for row in told] == [["s", "session_started"]]
    told = (await program.call("events", "s", "--since", "2h", "--json")).json_lines
    assert [event["session_id"] for event in told] == ["s"]
    assert len((await program.call("events", "s")).rows) == 2


async def test_where_nothing_happened_since_then_it_says_so(
    program: Program, database_url: str
) -> None:
    await happened_long_ago(database_url, "old", timedelta(hours=50))
    told = await program.call("events", "--since", "1h")
    assert (told.code, told.out, told.err) == (0, "", "nothing happened since then\n")


def test_neither_a_session_nor_a_time_is_refused(program: Program) -> None:
    done = program("events")
    assert done.code == 2
    assert "--since or --follow" in done.err
    assert program("events", "--since", "yesterday").code == 2


@contextmanager
def following(program: Program, *options: str) -> Iterator["subprocess.Popen[str]"]:
    with program.process("events", "--follow", "--json", *options) as process:
        yield process


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next event that it prints."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0]
    event: dict[str, Any] = json.loads(process.stdout.readline())
    return event


async def test_a_story_is_told_as_it_goes_on_until_ctrl_c(
    program: Program, manager: SessionManager
) -> None:
    await manager.start_session("s")
    with following(program, "s") as process:
        assert told(process)["event"] == "session_started"
        await manager.start_session("another")
        await manager.end_session("s", actor="ann")
        assert (event := told(process))["event"] == "session_ended"
        assert event["actor"] == "ann"

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


async def test_all_sessions_are_followed_from_a_time_on(
    program: Program, manager: SessionManager, database_url: str
) -> None:
    await happened_long_ago(database_url, "old", timedelta(hours=50))
    await manager.start_session("a")
    with following(program, "--since", "1h") as process:
        assert told(process)["session_id"] == "a"
        for session_id in ("b", "c"):
            await manager.start_session(session_id)
            assert told(process)["session_id"] == session_id
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
