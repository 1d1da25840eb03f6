"""What once went wrong with workers, signals and their ends."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from session_router import (
    AgentId,
    LocalAgentRuntime,
    Session,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
    WorkerGoneError,
)
from session_router.events import StreamOutcome
from session_router.repository.changes import Register, Touch
from session_router.repository.records import Requester
from session_router.repository.results import Leftovers
from session_router.settings import Tuning
from tests.support.laws import contents, violations
from tests.support.waiting import eventually
from tests.support.workers import WorkerParts

ALICE = AgentId("writer", "alice")

MANY_IDLE = """
    INSERT INTO session_router.sessions
    SELECT 'chat' || n, gen_random_uuid(), now(), now() - interval '1 day'
    FROM generate_series(1, 1700) n;
    INSERT INTO session_router.agent_streams
    SELECT session_id, 'writer', 'alice', gen_random_uuid(), gen_random_uuid(), now()
    FROM session_router.sessions
"""


class Slow:
    """An agent that takes its time to stop."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def trigger_transient_cancel(self) -> None:
        self.is_asked.set()
        await self.may_stop.wait()


async def test_a_stream_that_nobody_here_knows_is_finished_as_abandoned(
    repository: SessionRepository,
) -> None:
    worker = WorkerParts(repository)
    worker_id = await worker.incarnation.enter()
    await worker.register("kept", ALICE)
    # As after a registration that committed when its caller had been told it is unknown.
    await repository.register_stream(Register("chat", ALICE, worker_id, uuid4(), renew=False))
    await worker.reconciler.run_once()
    assert len(await repository.list_streams("kept")) == 1
    assert await repository.list_streams("chat") == []
    finished = (await repository.list_events("chat"))[-1]
    assert finished.outcome is StreamOutcome.ABANDONED
    assert await violations(repository) == []


async def test_a_reaped_worker_enters_again_without_a_registration(
    repository: SessionRepository,
) -> None:
    tuning = Tuning(heartbeat_interval_sec=0.05, lease_sec=10)
    async with SessionManager(repository, tuning=tuning) as manager:
        gone = manager.worker_id
        await repository.remove_worker(gone)

        async def is_back() -> bool:
            return [w.worker_id for w in await repository.list_workers()] == [manager.worker_id]

        await eventually(is_back)
        assert manager.worker_id != gone


async def test_entering_again_renews_the_lease(repository: SessionRepository) -> None:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "host", 1)
    [first] = await repository.list_workers()
    await asyncio.sleep(0.01)  # a clock of milliseconds has to move on
    await repository.add_worker(worker_id, "host", 1)
    [again] = await repository.list_workers()
    assert again.heartbeat_at > first.heartbeat_at


async def test_nobody_registers_in_a_worker_that_is_shutting_down(
    repository: SessionRepository,
) -> None:
    runtime, slow = LocalAgentRuntime(), Slow()
    runtime.add(ALICE, slow)
    manager, other = SessionManager(repository, runtime), SessionManager(repository)
    await manager.start()
    await manager.register_agent("chat", ALICE)
    await other.interrupt_streaming_agents("chat")
    shutting_down = asyncio.create_task(manager.shutdown())
    # A listener may have had the agent asked before: only the task's first step begins to leave.
    await asyncio.sleep(0)
    await slow.is_asked.wait()
    with pytest.raises(WorkerGoneError, match="shutting down"):
        await manager.register_agent("chat", AgentId("writer", "bob"))
    slow.may_stop.set()
    await shutting_down
    assert await repository.list_workers() == []
    await manager.register_agent("chat", ALICE)  # as a new worker
    await manager.shutdown()
    assert await violations(repository) == []


async def test_an_agent_that_never_stops_does_not_keep_its_worker(
    repository: SessionRepository,
) -> None:
    runtime = LocalAgentRuntime()
    runtime.add(ALICE, Slow())
    tuning = Tuning(cancel_timeout_sec=60, shutdown_timeout_sec=4)
    manager, other = SessionManager(repository, runtime, tuning=tuning), SessionManager(repository)
    await manager.register_agent("chat", ALICE)
    await manager.register_agent("chat", AgentId("writer", "bob"))
    await other.interrupt_streaming_agents("chat", [ALICE])
    await manager.shutdown()
    assert await repository.list_workers() == []
    assert await repository.list_streams("chat") == []
    assert await violations(repository) == []


async def is_told_to_others(repository: SessionRepository, mode: str) -> bool:
    return [row.wake_ups for row in await repository.list_workers()] == [mode]


async def test_a_worker_of_a_database_without_notifications_tells_others_that_it_polls(
    sqlite_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    async with SessionManager(repository):
        await eventually(lambda: is_told_to_others(repository, "polling"))
    await repository.close()


async def test_a_worker_that_has_shut_down_does_not_claim_to_listen(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    await manager.start()
    await eventually(lambda: manager.wake_ups.mode == "listening")
    await eventually(lambda: is_told_to_others(repository, "listening"))
    await manager.shutdown()
    assert manager.wake_ups.mode == "polling"
    await repository.close()


async def test_a_held_session_does_not_hold_up_the_clearing_of_others(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=1)
    worker_id = uuid4()
    await repository.add_worker(worker_id, "host", 1)
    for session_id in ("free", "held", "other"):
        await repository.register_stream(
            Register(session_id, ALICE, worker_id, uuid4(), renew=False)
        )
    async with repository.engine.begin() as conn:
        await conn.execute(
            text("SELECT 1 FROM session_router.sessions WHERE session_id = 'held' FOR UPDATE")
        )
        silent = await repository.heartbeats()
        assert await repository.reap_workers(silent) == Leftovers(streams=2, workers=1)
        assert await repository.touch_session(Touch("free")) is not None
    assert await repository.reap_workers({}) == Leftovers(streams=1)
    assert await violations(repository) == []
    await repository.close()


async def test_one_sweep_can_signal_thousands_of_workers(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    # More workers than a SELECT may have columns, which once was the bound. Inserted by the
    # database: what is tested is the sweep, not how they came about.
    async with repository.engine.begin() as conn:
        for statement in MANY_IDLE.split(";"):
            await conn.execute(text(statement))
    batch = await repository.expire_sessions(timedelta(hours=1), Requester(), limit=2_000)
    assert (batch.sessions, batch.streams) == (1_700, 1_700)
    assert len((await contents(repository)).signalled_stream_ids) == 1_700
    await repository.close()


async def test_a_session_that_is_saved_keeps_its_workers_streams(
    repository: SessionRepository,
) -> None:
    async with SessionManager(repository) as manager:
        stream_id = await manager.register_agent("chat", ALICE)
        await repository.save_session(Session(session_id="chat", agents_streaming={ALICE}))
        [stream] = await repository.list_streams("chat")
        assert (stream.stream_id, stream.worker_id) == (stream_id, manager.worker_id)


async def test_a_worker_that_is_gone_costs_those_that_live_nothing(
    repository: SessionRepository,
) -> None:
    alive, gone = uuid4(), uuid4()
    await repository.add_worker(alive, "host", 1)
    found = await asyncio.gather(
        *(
            repository.register_stream(Register(session_id, ALICE, worker_id, uuid4(), renew=False))
            for session_id, worker_id in [("a", alive), ("b", gone), ("c", alive)]
        ),
        return_exceptions=True,
    )
    assert [isinstance(one, WorkerGoneError) for one in found] == [False, True, False]
    assert await repository.find_session("b") is None
    assert await violations(repository) == []
