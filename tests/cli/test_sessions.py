"""`session-router sessions`, `events` and `sweep`, on both databases and with ids of any kind."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from session_router import (
    AgentId,
    Session,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.repository.changes import Register
from session_router.settings import Tuning
from tests.cli.program import Program
from tests.cli.test_db import execute
from tests.http.ids import HOSTILE_IDS
from tests.support.laws import violations
from tests.support.runtimes import Runtime
from tests.support.trail import story
from tests.support.waiting import eventually

WRITER = AgentId("writer", "a")
CRITIC = AgentId("critic", "b")


@pytest.fixture
def program(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, told by the environment which database to use."""
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    return program


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    assert await violations(made) == []
    await made.close()


@pytest.fixture
async def worker(repository: SessionRepository) -> AsyncIterator[SessionManager]:
    """Another worker, with agents that obey."""
    tuning = Tuning(poll_interval_sec=0.05)
    async with SessionManager(repository, Runtime(), tuning=tuning) as manager:
        yield manager


async def test_sessions_are_listed_with_who_streams(
    program: Program, worker: SessionManager
) -> None:
    await worker.start_session("quiet")
    await worker.register_agent("busy", WRITER)
    await worker.register_agent("busy", CRITIC)

    listed = await program.call("sessions", "list")
    as_json = await program.call("sessions", "list", "--json")

    assert [(row[0], row[3]) for row in listed.rows] == [
        ("busy", "critic/b, writer/a"),
        ("quiet", ""),
    ]
    assert [Session.model_validate(line) for line in as_json.json_lines] == [
        await worker.repository.find_session("busy"),
        await worker.repository.find_session("quiet"),
    ]


async def test_a_session_is_shown_with_its_streams(
    program: Program, worker: SessionManager
) -> None:
    stream_id = await worker.register_agent("s", WRITER)

    shown = await program.call("sessions", "show", "s")
    as_json = (await program.call("sessions", "show", "s", "--json")).json

    assert str(stream_id) in shown.out
    assert str(worker.worker_id) in shown.out
    assert as_json["agents_streaming"] == ["writer/a"]
    (stream,) = as_json["streams"]
    assert stream["stream_id"] == str(stream_id)
    assert stream["worker_id"] == str(worker.worker_id)
    assert datetime.fromisoformat(stream["started_at"]) <= datetime.now(UTC)


async def test_looking_touches_nothing(program: Program, worker: SessionManager) -> None:
    session = await worker.start_session("s")

    for command in (["sessions", "list"], ["sessions", "show", "s"], ["events", "s"]):
        assert (await program.call(*command)).code == 0

    assert await worker.repository.find_session("s") == session


async def test_an_interrupt_is_carried_out_by_the_worker_of_the_stream(
    program: Program, worker: SessionManager, repository: SessionRepository
) -> None:
    await worker.register_agent("s", WRITER)
    await worker.register_agent("s", CRITIC)

    done = await program.call(
        "sessions", "interrupt", "s", "--agent", "writer/a", "--actor", "ann", "--reason", "enough"
    )

    assert (done.code, done.out) == (0, "agent\tsignal\nwriter/a\tdelivered\n")

    async def is_delivered() -> bool:
        return "signal_settled delivered writer/a" in await story(repository, "s")

    await eventually(is_delivered)
    lines = (await program.call("events", "s")).rows
    assert [line[1:4] for line in lines[3:]] == [
        ["interrupt_requested", "", ""],
        ["stream_finished", "writer/a", "interrupted"],
        ["signal_settled", "writer/a", "delivered"],
    ]
    assert lines[3][5:] == ["ann", "enough"]
    assert (await program.call("sessions", "interrupt", "s", "--json")).json == {
        "session_id": "s",
        "interrupted": ["critic/b"],
        "outcomes": {"critic/b": "delivered"},
    }
    assert (await program.call("sessions", "interrupt", "s")).out == "no agent streams\n"


async def test_a_session_is_ended(
    program: Program, worker: SessionManager, repository: SessionRepository
) -> None:
    await worker.register_agent("s", WRITER)

    ended = await program.call("sessions", "end", "s", "--reason", "bye", "--json")

    assert ended.json == {"session_id": "s", "ended": True}
    assert await repository.find_session("s") is None
    last = (await program.call("events", "s", "--json")).json_lines
    assert ("session_ended", "bye") in [(event["event"], event["detail"]) for event in last]
    assert (await program.call("sessions", "end", "s")).code == 1


@pytest.mark.parametrize("command", ["show", "interrupt", "end"])
def test_a_session_that_does_not_live_is_named_and_not_made(program: Program, command: str) -> None:
    done = program("sessions", command, "nobody's", "--json")

    assert (done.code, done.out) == (1, "")
    assert '\\"nobody\'s\\"' in done.err
    assert program("events", "nobody's").code == 1
    assert program("sessions", "list", "--json").out == ""


async def test_ids_of_any_kind_go_through_exactly_and_are_shown_on_one_line(
    program: Program, repository: SessionRepository, worker: SessionManager
) -> None:
    for hostile in HOSTILE_IDS:
        await worker.start_session(hostile)
        await worker.register_agent(hostile, AgentId("writer", hostile))

    as_json = await program.call("sessions", "list", "--json")
    listed = await program.call("sessions", "list")

    assert [line["session_id"] for line in as_json.json_lines] == sorted(HOSTILE_IDS)
    assert as_json.out.isascii()
    assert len(listed.rows) == len(HOSTILE_IDS)
    assert all(len(row) == 5 for row in listed.rows)
    assert listed.out.replace("\n", "").replace("\t", "").isprintable()


async def test_every_command_takes_ids_of_any_kind(
    program: Program, repository: SessionRepository, worker: SessionManager
) -> None:
    for hostile in ("-starts with a dash", "new\nline\x1b[2J\u202e", "👍" * 255):
        await worker.register_agent(hostile, AgentId("writer", hostile))
        agent = f"writer/{hostile}"

        show = await program.call("sessions", "show", "--json", "--", hostile)
        interrupt = await program.call(
            "sessions", "interrupt", "--json", f"--agent={agent}", "--", hostile
        )
        end = await program.call("sessions", "end", "--json", "--", hostile)
        events = await program.call("events", "--json", "--", hostile)

        assert show.json["agents_streaming"] == [agent]
        assert interrupt.json == {
            "session_id": hostile,
            "interrupted": [agent],
            "outcomes": {agent: "delivered"},
        }
        assert end.json["session_id"] == hostile
        assert {event["session_id"] for event in events.json_lines} == {hostile}
        for command in (["events"], ["sessions", "end"]):
            said = await program.call(*command, "--", hostile)
            assert (said.out + said.err).replace("\n", "").replace("\t", "").isprintable()


async def test_a_long_story_is_told_to_its_end(
    program: Program, repository: SessionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_router.cli.events._PAGE", 4)
    monkeypatch.setattr("session_router.cli.sessions._PAGE", 1)
    manager = SessionManager(repository)
    for _ in range(5):
        await manager.start_new_session("s")
    await manager.start_session("t")

    told = await program.call("events", "s")

    assert [row[1] for row in told.rows] == [
        "session_started",
        *["session_replaced", "session_started"] * 4,
    ]
    assert [row[0] for row in (await program.call("sessions", "list")).rows] == ["s", "t"]


async def test_a_sweep_counts_what_it_expires(
    program: Program, repository: SessionRepository
) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    for session_id in ("old", "older"):
        await repository.save_session(
            Session(
                session_id=session_id,
                start_time=long_ago,
                last_updated=long_ago,
                agents_streaming={WRITER},
            )
        )
    await SessionManager(repository).start_session("new")

    assert (await program.call("sweep", "--json")).json == {"sessions": 2, "streams": 2}
    assert (await program.call("sweep")).out == "expired 0 session(s), stopped 0 stream(s)\n"
    assert [row[0] for row in (await program.call("sessions", "list")).rows] == ["new"]


async def test_the_login_name_is_the_actor_unless_one_is_given(
    program: Program, repository: SessionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    await SessionManager(repository).start_session("s")

    await program.call("sessions", "interrupt", "s")
    await program.call("sessions", "end", "s", "--actor", "bob")

    assert [row[5] for row in (await program.call("events", "s")).rows] == ["", "ann", "bob"]


async def test_the_workers_are_listed_with_their_streams(
    program: Program, worker: SessionManager
) -> None:
    await worker.register_agent("s", WRITER)

    [said] = (await program.call("workers", "--json")).json_lines
    assert said["worker_id"] == str(worker.worker_id)
    assert said["streams"] == 1
    assert said["heartbeat_age_sec"] >= 0

    [row] = (await program.call("workers")).rows
    assert row[0] == str(worker.worker_id)
    assert (row[5:7], row[-1]) == (["alive", "1"], "")


async def test_a_worker_that_came_over_http_is_listed_with_the_key_that_entered_it(
    program: Program, repository: SessionRepository
) -> None:
    await repository.add_worker(uuid4(), "box-1", 4711, "3636ac3601c1")

    [said] = (await program.call("workers", "--json")).json_lines
    assert (said["host"], said["key_id"]) == ("box-1", "3636ac3601c1")

    [row] = (await program.call("workers")).rows
    assert (row[1], row[-1]) == ("box-1", "3636ac3601c1")


async def test_an_interrupt_that_nobody_carries_out_is_told_of_as_open(
    program: Program, worker: SessionManager, repository: SessionRepository
) -> None:
    elsewhere = uuid4()
    await repository.add_worker(elsewhere, "host", 1)
    await repository.register_stream(Register("s", WRITER, elsewhere, uuid4(), renew=False))

    done = await program.call("sessions", "interrupt", "s", "--wait", "0")

    assert done.rows == [["writer/a", "open"]]
    await repository.remove_worker(elsewhere)


async def test_an_interrupt_is_waited_for_until_it_has_failed(
    program: Program, repository: SessionRepository
) -> None:
    """The longest that an agent may take, which is more than a person would think of."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    tuning = Tuning(poll_interval_sec=0.05, cancel_timeout_sec=5.2)
    async with SessionManager(repository, Runtime(a=hangs), tuning=tuning) as worker:
        await worker.register_agent("s", WRITER)

        done = await program.call("sessions", "interrupt", "s")

    assert done.rows == [["writer/a", "failed"]]


async def test_the_age_of_a_heartbeat_is_never_negative(
    program: Program, repository: SessionRepository, database_url: str
) -> None:
    """Also where the database's clock was set back since."""
    await repository.add_worker(uuid4(), "host", 1)
    ahead = "'2999-01-01 00:00:00.000000'"
    execute(database_url, f"UPDATE session_router.workers SET heartbeat_at = {ahead}")

    [said] = (await program.call("workers", "--json")).json_lines
    [row] = (await program.call("workers")).rows

    assert said["heartbeat_age_sec"] == 0
    assert row[4:6] == ["0 ms ago", "alive"]
