"""Reports of what a manager did, on both databases, and what the command refuses."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.engine import create_engine
from session_router.reports import REPORTS
from session_router.settings import Tuning
from tests.cli.program import Program
from tests.support.runtimes import Runtime

WRITER, CRITIC = AgentId("writer", "a"), AgentId("critic", "b")


@pytest.fixture
def program(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    return program


@pytest.fixture
async def manager(database_url: str) -> AsyncIterator[SessionManager]:
    """Not started, so that it sweeps when a test says so; its first registration enters it."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager = SessionManager(repository, Runtime(), tuning=Tuning(poll_interval_sec=0.05))
    yield manager
    await manager.shutdown()
    await repository.close()


async def report(program: Program, name: str, *options: str) -> list[dict[str, Any]]:
    done = await program.call("report", name, *options, "--format", "json")
    assert done.code == 0, done.err
    return done.json_lines


async def execute(url: str, statement: str) -> None:
    prefix = "" if url.startswith("sqlite") else "session_router."
    engine = create_engine(url)
    async with engine.begin() as conn:
        await conn.execute(text(statement.replace("@", prefix)))
    await engine.dispose()


async def test_a_session_is_told_while_it_lives_and_after_it(
    program: Program, manager: SessionManager
) -> None:
    await manager.register_agent("chat", WRITER)
    (live,) = await report(program, "sessions")
    assert (live["session_id"], live["ending"], live["ended_at"]) == ("chat", None, None)
    assert live["duration_sec"] is None
    assert (live["streams"], live["interrupts"]) == (1, 0)

    await manager.interrupt_streaming_agents("chat", actor="ann")
    await manager.end_session("chat", actor="bob", reason="enough")
    (ended,) = await report(program, "sessions")
    assert ended["session_uid"] == live["session_uid"]
    assert ended["started_at"] == live["started_at"]
    assert (ended["ending"], ended["actor"], ended["reason"]) == ("ended", "bob", "enough")
    assert (ended["streams"], ended["interrupts"]) == (1, 1)
    assert ended["duration_sec"] > 0


async def test_lives_of_one_id_are_told_apart(program: Program, manager: SessionManager) -> None:
    await manager.register_agent("chat", WRITER)
    await manager.start_new_session("chat")
    rows = await report(program, "sessions")
    assert [(row["ending"], row["streams"]) for row in rows] == [("replaced", 1), (None, 0)]


async def test_a_stream_is_told_while_it_goes_on_and_after_it(
    program: Program, manager: SessionManager
) -> None:
    stream_id = await manager.register_agent("chat", WRITER)
    (live,) = await report(program, "streams")
    assert (live["stream_id"], live["outcome"]) == (str(stream_id), None)
    (now,) = await report(program, "live")
    assert (now["sessions"], now["sessions_streaming"], now["streams"]) == (1, 1, 1)

    await manager.unmark_agent_streaming("chat", WRITER)
    (ended,) = await report(program, "streams")
    assert (ended["stream_id"], ended["outcome"]) == (str(stream_id), "completed")
    assert ended["session_uid"] == live["session_uid"]
    assert ended["duration_sec"] >= 0


async def test_an_interrupt_is_told_with_who_asked_and_how_long_it_took(
    program: Program, manager: SessionManager
) -> None:
    await manager.register_agent("chat", WRITER)
    await manager.register_agent("chat", CRITIC)
    await manager.interrupt_streaming_agents("chat", actor="ann", wait=10)
    rows = await report(program, "interrupts")
    assert {row["agent_type"] for row in rows} == {"writer", "critic"}
    assert len({row["request_id"] for row in rows}) == 1
    for row in rows:
        assert (row["actor"], row["cause"]) == ("ann", "interrupted")
        assert row["settled_at"] > row["requested_at"]
        assert row["latency_sec"] > 0


async def test_a_signal_that_nobody_settles_is_backlog(
    program: Program, manager: SessionManager, database_url: str
) -> None:
    await manager.start_session("chat")
    await execute(
        database_url,
        "INSERT INTO @interrupt_signals "
        "SELECT u, u, u, 'chat', u, 'writer', 'a', u, 'cancel', began "
        "FROM (SELECT session_uid AS u, start_time AS began FROM @sessions) AS s",
    )
    (signal,) = await report(program, "interrupts")
    assert (signal["settled_at"], signal["outcome"], signal["latency_sec"]) == (None, None, None)
    *idle, waiting = await report(program, "backlog")
    assert [row["items"] for row in idle] == [0] * 6
    assert (waiting["kind"], waiting["items"]) == ("unsettled_signals", 1)
    assert waiting["oldest_at"] == signal["requested_at"]


async def test_a_session_that_no_sweep_has_found_is_backlog(
    program: Program, manager: SessionManager
) -> None:
    session = await manager.start_session("chat")
    session.last_updated -= timedelta(minutes=40)
    await manager.repository.save_session(session)
    items = {row["over_sec"]: row["items"] for row in await report(program, "backlog")}
    assert items == {300: 1, 900: 1, 1_800: 1, 3_600: 0, 14_400: 0, 86_400: 0, 0: 0}

    await manager.expire_old_sessions()
    assert {row["items"] for row in await report(program, "backlog")} == {0}
    (hour,) = [row for row in await report(program, "activity") if row["sessions_expired"]]
    assert (hour["sessions_started"], hour["sessions_expired"]) == (1, 1)


async def test_a_database_in_which_nothing_happened_has_empty_reports(program: Program) -> None:
    for name in ("sessions", "streams", "interrupts", "agents", "activity"):
        assert await report(program, name) == []
        shown = await program.call("report", name)
        assert (shown.code, shown.out, shown.err) == (0, "", "nothing to report\n")
        headers = await program.call("report", name, "--format", "csv")
        assert len(headers.out.splitlines()) == 1
    (live,) = await report(program, "live")
    assert (live["sessions"], live["oldest_session_at"]) == (0, None)
    assert {row["peak"] for row in await report(program, "concurrency", "--since", "1h")} == {0}


async def test_no_text_in_csv_is_a_formula_and_numbers_are_numbers(
    program: Program, manager: SessionManager
) -> None:
    await manager.start_session("=1+1")
    await manager.end_session("=1+1", actor="-a;=1", reason='say "hi", C:\\x')
    done = await program.call("report", "sessions", "--format", "csv")
    header, line = done.out.splitlines()
    cells = line.split(",")
    assert header.startswith("session_id,session_uid,started_at,")
    assert cells[0] == '"\'=1+1"'
    assert float(cells[5]) >= 0
    assert line.removesuffix(",").endswith(""","'-a;=1","say ""hi"", C:\\x\"""")
    [row] = await report(program, "sessions")
    assert (row["session_id"], row["actor"]) == ("=1+1", "-a;=1")


async def test_the_hour_and_the_day_in_which_since_lies_are_told(
    program: Program, manager: SessionManager
) -> None:
    await manager.register_agent("chat", WRITER)
    await manager.unmark_agent_streaming("chat", WRITER)
    assert len(await report(program, "activity", "--since", "0s")) == 1
    assert len(await report(program, "agents", "--since", "0s")) == 1
    assert await report(program, "streams", "--since", "0s") == []
    assert len(await report(program, "streams", "--since", "1h")) == 1
    assert await report(program, "streams", "--until", "1h") == []


async def test_times_do_not_depend_on_the_sessions_time_zone(
    program: Program, manager: SessionManager, database_url: str
) -> None:
    await manager.start_session("chat")
    (before,) = await report(program, "activity")
    if database_url.startswith("postgresql"):
        await execute(
            database_url,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Kathmandu''', "
            "current_database()); END $$",
        )
    assert await report(program, "activity") == [before]
    assert before["hour"].endswith(":00:00Z")


async def test_the_views_have_the_columns_that_are_told(database_url: str) -> None:
    prefix = "" if database_url.startswith("sqlite") else "session_router."
    engine = create_engine(database_url)
    async with engine.connect() as conn:
        for report in REPORTS.values():
            found = await conn.execute(text(f"SELECT * FROM {prefix}{report.view}"))
            assert list(found.keys()) == list(report.row.model_fields), report.name
    await engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no report 'nothing'; choose one of sessions, streams"),
        (["sessions", "--since", "soon"], "--since 'soon' is no time"),
        (["sessions", "--until", "7y"], "--until '7y' is no time"),
        (["sessions", "--since", "1d", "--until", "2d"], "is not before --until"),
        (["live", "--since", "1d"], "of this very moment; leave out"),
        (["backlog", "--until", "1d"], "of this very moment; leave out"),
        (["sessions", "--plot", "a.png"], "'sessions' has no picture; activity, agents"),
        (["agents", "--plot", "a.gif"], "neither a .png nor an .svg"),
        (["agents", "--plot", "nowhere/a.png"], "a folder that does not exist"),
    ],
)
def test_what_is_not_acceptable_is_refused_before_the_database_is_asked(
    program: Program, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    done = program("report", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_errors_are_json_where_json_is_asked_for(program: Program) -> None:
    done = program("report", "live", "--since", "1d", "--format", "json")
    assert '"exit_code": 2' in done.err


def test_a_picture_of_nothing_is_not_drawn(program: Program, tmp_path: Path) -> None:
    done = program("report", "agents", "--plot", "a.png")
    assert (done.code, "nothing to draw" in done.err) == (1, True)
    assert not (tmp_path / "a.png").exists()


async def test_a_picture_that_cannot_be_written_is_an_error_that_says_so(
    program: Program, manager: SessionManager, tmp_path: Path
) -> None:
    await manager.start_session("chat")
    (tmp_path / "a.png").mkdir()
    done = await program.call("report", "activity", "--plot", "a.png")
    assert done.code == 1
    assert "cannot be written" in done.err


def test_a_picture_without_the_extra_says_what_to_install(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "session_router.reports.plots", raising=False)
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = program("report", "agents", "--plot", "a.png")
    assert done.code == 1
    assert "pip install 'session-router[plot]'" in done.err
