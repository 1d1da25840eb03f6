"""What a worker knows of its own streams."""

import asyncio
from uuid import uuid4

import pytest

from session_router import (
    AgentId,
    DeadlineExceededError,
    InMemorySessionRepository,
    LocalAgentRuntime,
    SessionManager,
    SessionRepository,
)
from session_router.errors import RefusedError
from session_router.events import SignalOutcome, StreamOutcome
from session_router.repository.changes import Register
from session_router.repository.results import SIGNALS_READ
from session_router.worker.endings import Ending
from tests.support.repositories import HostsRepository
from tests.support.trail import events
from tests.support.waiting import Gate, eventually
from tests.support.workers import WorkerParts

ALICE = AgentId("writer", "alice")
BOB = AgentId("writer", "bob")


class Stoppable:
    def trigger_transient_cancel(self) -> None:
        return None


async def test_streams_that_were_ended_elsewhere_are_forgotten(
    repository: SessionRepository,
) -> None:
    worker = WorkerParts(repository)
    other = WorkerParts(repository)
    ended = await worker.register("chat", ALICE)
    kept = await worker.register("chat", BOB)
    await SessionManager(repository).unmark_agent_streaming("chat", ALICE, ended)
    await worker.reconciler.run_once()
    assert [stream.stream_id for stream in worker.streams.all()] == [kept]
    await other.reconciler.run_once()


async def test_a_stream_whose_signal_is_on_its_way_is_not_forgotten(
    repository: SessionRepository,
) -> None:
    worker = WorkerParts(repository)
    registration = await worker.register("chat", ALICE)
    await SessionManager(repository).interrupt_streaming_agents("chat")
    await worker.reconciler.run_once()
    assert [stream.stream_id for stream in worker.streams.all()] == [registration]


async def test_more_signals_than_are_read_at_a_time_are_all_delivered() -> None:
    repository, runtime = InMemorySessionRepository(), LocalAgentRuntime()
    agents = [AgentId("writer", str(number)) for number in range(SIGNALS_READ * 2 + 1)]
    async with SessionManager(repository, runtime) as owner, SessionManager(repository) as other:
        for agent_id in agents:
            runtime.add(agent_id, Stoppable())
            await owner.register_agent("chat", agent_id)
        outcomes = await other.interrupt_streaming_agents("chat", wait=30)
    assert outcomes == dict.fromkeys(sorted(agents), SignalOutcome.DELIVERED)


async def test_a_worker_that_finds_itself_gone_cancels_what_it_lost(
    repository: SessionRepository,
) -> None:
    worker = WorkerParts(repository)
    lost = asyncio.Event()

    async def stop() -> None:
        lost.set()

    await worker.register("chat", ALICE, stop=stop)
    before = worker.incarnation.worker_id
    await repository.remove_worker(before)
    await worker.register("chat", BOB)
    assert worker.incarnation.worker_id != before
    await eventually(lambda: [s.agent_id for s in worker.streams.all()] == [BOB])
    assert lost.is_set()


async def fail() -> None:
    raise DeadlineExceededError.of(10)


async def ended(repository: SessionRepository) -> list[tuple[str | None, str | None]]:
    finished = await events(repository, "stream_finished")
    return [(event.outcome, event.detail) for event in finished]


UNTOLD = ("abandoned", "registered, but its caller could not be told in time")


async def test_a_registration_of_unknown_outcome_is_finished_whenever_it_commits() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    repository.before_registering = fail
    stream_id = uuid4()
    with pytest.raises(DeadlineExceededError):
        await worker.register("chat", ALICE, stream_id)
    await worker.reconciler.run_once()  # sees nothing yet
    await InMemorySessionRepository.register_stream(
        repository, Register("chat", ALICE, worker.incarnation.worker_id, stream_id, renew=False)
    )
    await worker.reconciler.run_once()
    assert await ended(repository) == [UNTOLD]


async def test_a_doubt_outlives_a_reconciliation_that_fails() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    repository.after_registering = fail
    with pytest.raises(DeadlineExceededError):
        await worker.register("chat", ALICE)
    repository.before_finishing = fail
    with pytest.raises(DeadlineExceededError):
        await worker.reconciler.run_once()
    repository.before_finishing = HostsRepository().before_finishing
    await worker.reconciler.run_once()
    assert await ended(repository) == [UNTOLD]


async def test_a_worker_that_registers_all_the_time_is_reconciled_too() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    repository.after_registering = fail
    with pytest.raises(DeadlineExceededError):
        await worker.register("chat", ALICE)
    gate = Gate()
    repository.after_registering = gate
    registering = asyncio.create_task(worker.register("chat", BOB))
    await gate.is_reached.wait()
    await worker.reconciler.run_once()
    assert await ended(repository) == [UNTOLD]
    gate.open()
    registered = await registering
    [row] = await repository.list_streams("chat")
    assert row.stream_id == registered


async def test_a_row_that_a_registration_under_way_may_be_given_is_left() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    repository.after_registering = fail
    with pytest.raises(DeadlineExceededError):
        await worker.register("chat", ALICE)
    gate = Gate()
    repository.after_registering = gate
    again = asyncio.create_task(worker.register("chat", ALICE))
    await gate.is_reached.wait()
    await worker.reconciler.run_once()
    gate.open()
    given = await again
    [row] = await repository.list_streams("chat")
    assert row.stream_id == given


async def test_a_registration_waits_for_the_row_that_is_being_finished() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    repository.after_registering = fail
    with pytest.raises(DeadlineExceededError):
        await worker.register("chat", ALICE)
    repository.after_registering = HostsRepository().after_registering
    gate = Gate()
    repository.before_finishing = gate
    reconciling = asyncio.create_task(worker.reconciler.run_once())
    await gate.is_reached.wait()
    again = asyncio.create_task(worker.register("chat", ALICE))
    await asyncio.sleep(0)
    gate.open()
    await reconciling
    given = await again
    [row] = await repository.list_streams("chat")
    assert row.stream_id == given
    assert await ended(repository) == [UNTOLD]


async def test_a_stream_that_ended_here_is_finished_with_the_outcome_that_it_had() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    for number, agent_id in enumerate((ALICE, BOB)):
        made = await worker.register("chat", agent_id)
        detail = f"error {number}"
        ending = Ending("chat", agent_id, made, StreamOutcome.FAILED, detail)
        worker.reconciler.endings.add(ending)
    await worker.reconciler.run_once()
    assert await ended(repository) == [("failed", "error 0"), ("failed", "error 1")]
    assert worker.streams.all() == []


async def test_a_row_that_cannot_be_finished_holds_up_no_other() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    for agent_id in (ALICE, BOB):
        made = await worker.register("chat", agent_id)
        worker.reconciler.endings.add(Ending("chat", agent_id, made, StreamOutcome.FAILED))

    async def refuse_the_first() -> None:
        if repository.finishes == 1:
            raise RefusedError("a deadlock")

    repository.before_finishing = refuse_the_first
    await worker.reconciler.run_once()
    [left] = await repository.list_streams("chat")
    assert left.agent_id == ALICE
    await worker.reconciler.run_once()
    assert await repository.list_streams("chat") == []


async def test_what_was_read_of_an_earlier_incarnation_is_no_matter() -> None:
    repository = HostsRepository()
    worker = WorkerParts(repository)
    await worker.register("chat", ALICE)
    gate = Gate()
    repository.after_reading = gate
    reconciling = asyncio.create_task(worker.reconciler.run_once())
    await gate.is_reached.wait()
    await repository.remove_worker(worker.incarnation.worker_id)
    await worker.succession.begin_anew(worker.incarnation.worker_id)
    gate.open()
    await reconciling
    # Its cancelling begins.
    assert [stream.agent_id for stream in worker.streams.all()] == [ALICE]
