"""The database goes away, or the doorbell does: nothing is lost, and nobody is reaped for it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.channel import channel
from session_router.database.migrate import Target, upgrade
from session_router.events import EventName, SignalOutcome
from session_router.repository.records import Requester
from session_router.settings import Tuning
from tests.anywhere.conftest import LEASE_SEC, TUNING, Workplace
from tests.support.databases import run
from tests.support.laws import violations
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually

ALICE = AgentId("writer", "alice")

listening = pytest.mark.parametrize("wake_ups", ["listening"], indirect=True)

# 500 workers with 20 streams each, in 500 sessions. Inserted by the database: what is tested is
# an interrupt among them, not how they came about.
CROWD = """
    INSERT INTO session_router.workers
    SELECT gen_random_uuid(), 'crowd', n, now(), now() + interval '1 hour'
    FROM generate_series(1, 500) n;
    INSERT INTO session_router.sessions
    SELECT 'chat' || n, gen_random_uuid(), now(), now() FROM generate_series(1, 500) n;
    INSERT INTO session_router.agent_streams
    SELECT 'chat' || pid, 'writer', n::text, gen_random_uuid(), worker_id, now()
    FROM session_router.workers, generate_series(1, 20) n WHERE host = 'crowd';
    INSERT INTO session_router.session_events (session_id, session_uid, event)
    SELECT session_id, session_uid, 'session_started' FROM session_router.sessions;
    INSERT INTO session_router.session_events
        (session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id)
    SELECT session_id, session_uid, 'stream_started', agent_type, agent_key, stream_id, worker_id
    FROM session_router.agent_streams JOIN session_router.sessions USING (session_id);
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(max_connections=600) as server:
        run(upgrade(Target(server.url())))
        yield server


@pytest.fixture
async def own_workplace(server: PostgresServer) -> AsyncIterator[Workplace]:
    """A workplace on a server that the test may stop."""
    repository = SQLAlchemySessionRepository.from_url(server.url())
    try:
        async with AsyncExitStack() as stack:
            manager = SessionManager(repository, tuning=Tuning(**TUNING))
            await stack.enter_async_context(manager)
            yield Workplace(server.url(), None, stack, repository, manager)
            assert await violations(repository) == []
    finally:
        await repository.close()


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(url.replace("+asyncpg", ""))


@listening
async def test_a_listener_that_is_cut_off_while_interrupts_commit_misses_none(
    workplace: Workplace,
) -> None:
    streams = [(f"chat{n}", f"agent{n}") for n in range(200)]
    # A poll that could hide a broken listener comes too late to pass this in time.
    tuning = TUNING | {"listening_poll_interval_sec": 3_600, "poll_interval_sec": 1}
    worker = await workplace.worker(*streams, tuning=tuning)
    connection = await connect(workplace.url)
    interrupts = [workplace.manager.interrupt_streaming_agents(i) for i, _ in streams]
    cuts = [
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'session_router % listen'"
        )
    ]
    await asyncio.gather(*interrupts, *cuts)
    for _, key in streams:
        await worker.hears("ended", key=key)

    async def all_are_settled() -> bool:
        settled = await workplace.events(EventName.SIGNAL_SETTLED)
        return [e.outcome for e in settled] == [SignalOutcome.DELIVERED] * len(streams)

    await eventually(all_are_settled)
    await connection.close()


@pytest.mark.parametrize("away_sec", [0.0, LEASE_SEC * 2])
async def test_an_outage_of_the_database_reaps_nobody_and_loses_nothing(
    server: PostgresServer, own_workplace: Workplace, away_sec: float
) -> None:
    worker = await own_workplace.worker(("chat", "alice"))
    before = {w.worker_id for w in await own_workplace.repository.list_workers()}
    server.stop("immediate")
    await asyncio.sleep(away_sec)  # what is tested is an outage of that length
    server.start()

    async def all_beat_again() -> bool:
        workers = await own_workplace.repository.list_workers()
        ages = [worker.heartbeat_age.total_seconds() for worker in workers]
        return len(ages) == 2 and max(ages) < LEASE_SEC / 2

    async def answers() -> bool:
        try:
            return await all_beat_again()
        except Exception:
            return False

    await eventually(answers, within=60)
    assert {w.worker_id for w in await own_workplace.repository.list_workers()} == before
    assert await own_workplace.manager.interrupt_streaming_agents("chat", wait=30) == {
        ALICE: SignalOutcome.DELIVERED
    }
    await worker.hears("ended", key="alice", outcome="interrupted")


async def test_the_listener_comes_back_after_an_outage(
    server: PostgresServer, own_workplace: Workplace
) -> None:
    manager = own_workplace.manager
    await eventually(lambda: manager.wake_ups.mode == "listening")
    server.stop("fast")
    await eventually(lambda: manager.wake_ups.mode == "polling")
    assert manager.wake_ups.reason is not None
    server.start()
    await eventually(lambda: manager.wake_ups.mode == "listening", within=60)


async def test_one_interrupt_among_500_workers_wakes_one(
    server: PostgresServer, own_workplace: Workplace
) -> None:
    repository = own_workplace.repository
    await own_workplace.manager.shutdown()  # it would reap the crowd, which gives no heartbeats
    connection = await connect(server.url())
    await connection.execute(CROWD)
    found = await connection.fetch(
        "SELECT worker_id FROM session_router.workers WHERE host = 'crowd' ORDER BY pid"
    )
    workers = [row["worker_id"] for row in found]
    rung: list[str] = []
    listeners = [await connect(server.url()) for _ in workers]
    for listener, worker_id in zip(listeners, workers, strict=True):
        await listener.add_listener(channel(worker_id), lambda *heard: rung.append(heard[2]))
    request = await repository.interrupt_streams("chat7", None, Requester())
    assert request is not None
    assert len(request.signals) == 20
    await eventually(lambda: bool(rung))
    # Each of the others would have heard of it by the time it answers.
    for listener in listeners:
        await listener.execute("SELECT 1")
    assert rung == [channel(workers[6])]
    for listener in [*listeners, connection]:
        await listener.close()


@listening
async def test_nothing_but_a_signal_rings(workplace: Workplace) -> None:
    manager, rung = workplace.manager, []
    await manager.start()
    connection = await connect(workplace.url)
    await connection.add_listener(channel(manager.worker_id), lambda *heard: rung.append(heard[2]))
    await manager.start_session("chat")
    await manager.get_session("chat")
    stream_id = await manager.register_agent("chat", ALICE)
    await workplace.repository.beat(manager.worker_id)
    await manager.unmark_agent_streaming("chat", ALICE, stream_id)
    await manager.interrupt_streaming_agents("chat")
    await connection.execute("SELECT 1")  # what rang before is heard by its answer
    assert rung == []
    await manager.register_agent("chat", ALICE)
    await manager.register_agent("chat", AgentId("writer", "bob"))
    await manager.interrupt_streaming_agents("chat")
    await eventually(lambda: bool(rung))
    await connection.execute("SELECT 1")
    assert len(rung) == 1
    await connection.close()
