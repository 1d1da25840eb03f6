"""Rows that somebody inserted by hand, which no code of ours would write."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest

from session_router import (
    AgentId,
    DatabaseError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.events import SignalOutcome, StreamOutcome
from session_router.repository.changes import Register, Start, Touch
from session_router.repository.records import Requester
from tests.support.by_hand import execute
from tests.support.trail import events
from tests.support.waiting import eventually

ALICE = AgentId("writer", "alice")
ODD: Final = [("two words", "é"), ("", "k"), ("writer", ""), ("a/b", "x" * 300)]
ODD_AGENTS: Final = {AgentId.stored(*parts) for parts in ODD}
NOW: Final = "'2020-01-01 00:00:00.000000'"  # is UTC on the tests' servers, too
BY_TEST = Requester()
AN_HOUR = timedelta(hours=1)


@pytest.fixture
async def sql_repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    yield repository
    await repository.close()


def session(session_id: str, *, uid: str = "", started: str = NOW, updated: str = NOW) -> str:
    return (
        "INSERT INTO session_router.sessions (session_id, session_uid, start_time, last_updated) "
        f"VALUES ('{session_id}', '{uid or uuid4()}', {started}, {updated}) RETURNING 1"
    )


def stream(
    session_id: str, worker_id: UUID, agent: tuple[str, str] = ("writer", "odd"), name: str = ""
) -> str:
    return (
        "INSERT INTO session_router.agent_streams (session_id, agent_type, agent_key, stream_id, "
        f"worker_id, started_at) VALUES ('{session_id}', '{agent[0]}', '{agent[1]}', "
        f"'{name or uuid4()}', '{worker_id}', {NOW}) RETURNING 1"
    )


def signal(worker_id: UUID, agent: tuple[str, str], *, name: str = "") -> str:
    return (
        "INSERT INTO session_router.interrupt_signals (signal_id, worker_id, request_id, "
        "session_id, session_uid, agent_type, agent_key, stream_id, action, requested_at) VALUES "
        f"('{uuid4()}', '{worker_id}', '{uuid4()}', 's', '{uuid4()}', '{agent[0]}', '{agent[1]}', "
        f"'{name or uuid4()}', 'cancel', {NOW}) RETURNING 1"
    )


async def worker(repository: SQLAlchemySessionRepository) -> UUID:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "host", 1)
    await repository.register_stream(Register("s", ALICE, worker_id, uuid4(), renew=False))
    return worker_id


async def test_streams_of_agents_that_no_id_can_name_are_shown_and_stopped_as_any(
    sql_repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    worker_id = await worker(sql_repository)
    await execute(database_url, *(stream("s", worker_id, agent) for agent in ODD))
    for found in (
        await sql_repository.find_session("s"),
        (await sql_repository.list_sessions())[0],
        await sql_repository.touch_session(Touch("s")),
        await sql_repository.start_session(Start("s", BY_TEST)),
    ):
        assert found is not None
        assert set(map(str, found.agents_streaming)) == set(map(str, {ALICE, *ODD_AGENTS}))
    assert {s.agent_id for s in await sql_repository.list_streams("s")} == {ALICE, *ODD_AGENTS}
    held = await sql_repository.streams_of_worker(worker_id)
    assert held is not None
    assert len(held.live) == len(ODD) + 1
    request = await sql_repository.interrupt_streams("s", None, BY_TEST)
    assert request is not None
    assert set(request.agents) == {ALICE, *ODD_AGENTS}
    assert len(await sql_repository.unsettled_signals(worker_id)) == len(ODD) + 1


async def test_they_end_with_their_session_and_with_their_worker(
    sql_repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    worker_id = await worker(sql_repository)
    await execute(
        database_url,
        *(session(name) for name in ("idle", "ended", "", "x" * 300)),
        *(stream(name, worker_id, ODD[0]) for name in ("s", "idle", "ended", "")),
    )
    assert len(await sql_repository.list_sessions()) == 5
    ended = await sql_repository.end_session("ended", BY_TEST)
    assert ended is not None
    assert len(ended.signals) == 1
    batch = await sql_repository.expire_sessions(AN_HOUR, BY_TEST, limit=100)
    assert (batch.sessions, batch.streams, len(batch.signals)) == (3, 2, 2)
    cleared = await sql_repository.reap_workers(await sql_repository.heartbeats())
    assert (cleared.workers, cleared.streams, cleared.signals) == (1, 2, 3)
    lost = [e for e in await events(sql_repository) if e.outcome is StreamOutcome.WORKER_LOST]
    assert {event.agent_id for event in lost} == {ALICE, AgentId.stored(*ODD[0])}


async def test_an_outbox_with_such_a_signal_is_delivered(
    sql_repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    async with SessionManager(sql_repository) as manager:
        stream_id = await manager.register_agent("s", ALICE)
        odd = [signal(manager.worker_id, agent) for agent in ODD]
        mine = signal(manager.worker_id, ("writer", "alice"), name=str(stream_id))
        await execute(database_url, *odd, mine)

        async def all_are_settled() -> bool:
            return len(await events(sql_repository, "signal_settled")) == len(ODD) + 1

        await eventually(all_are_settled, within=90)
    settled = await events(sql_repository, "signal_settled")
    assert {event.outcome for event in settled} == {SignalOutcome.FAILED}


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    """SQLite keeps any text where a UUID or a time belongs."""
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    worker_id = await worker(repository)
    await execute(
        sqlite_url,
        session("a"),
        session("no time", started="'yesterday'", updated="'2019-07-01'"),
        session("no moment", updated="'0'"),
        session("no uid", uid="first"),
        *(stream(name, worker_id, ("writer", "nameless"), "no name") for name in ("a", "s")),
        *(stream(name, worker_id) for name in ("a", "no time", "no uid", "no moment")),
        signal(worker_id, ("writer", "alice"), name="the third"),
        signal(worker_id, ("writer", "alice")),
        "INSERT INTO workers (worker_id, host, pid, started_at, heartbeat_at) "
        f"VALUES ('me', 'host', 1, {NOW}, {NOW}), ('{uuid4()}', 'host', 1, {NOW}, 'never')",
    )
    yield repository
    await repository.close()


async def test_what_cannot_be_read_is_passed_over_where_many_are_read(
    on_sqlite: SQLAlchemySessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    [worker_id] = await on_sqlite.heartbeats()
    assert [w.worker_id for w in await on_sqlite.list_workers()] == [worker_id]
    assert [s.session_id for s in await on_sqlite.list_sessions()] == ["a", "no uid", "s"]
    assert len(await on_sqlite.unsettled_signals(worker_id)) == 1
    held = await on_sqlite.streams_of_worker(worker_id)
    assert held is not None
    assert len(held.live) == 5
    assert caplog.text.count("row_unreadable") == len(set(caplog.messages))
    assert "where a UUID belongs; mend the row" in caplog.text


async def test_it_holds_up_no_sweep_no_reaping_and_no_end(
    on_sqlite: SQLAlchemySessionRepository,
) -> None:
    batch = await on_sqlite.expire_sessions(AN_HOUR, BY_TEST, limit=2)
    assert (batch.sessions, batch.streams) == (1, 1)
    batch = await on_sqlite.expire_sessions(AN_HOUR, BY_TEST, limit=2, after=batch.position)
    assert batch.sessions == 0
    ended = await on_sqlite.end_session("s", BY_TEST)
    assert ended is not None
    assert ended.agents == [ALICE]
    cleared = await on_sqlite.reap_workers(await on_sqlite.heartbeats())
    # The streams of the three sessions whose times can be read, or need not be.
    assert (cleared.workers, cleared.streams) == (1, 2)
    assert await on_sqlite.find_session("a") is None


async def test_who_asks_for_just_that_is_told(on_sqlite: SQLAlchemySessionRepository) -> None:
    for asked in (on_sqlite.find_session("no time"), on_sqlite.touch_session(Touch("no time"))):
        with pytest.raises(DatabaseError, match="'yesterday' where a time belongs; mend the row"):
            await asked
    assert await on_sqlite.touch_session(Touch("s")) is not None
