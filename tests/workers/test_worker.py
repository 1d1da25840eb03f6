"""What a worker knows of its own streams."""

from uuid import uuid4

from session_router import (
    AgentId,
    InMemorySessionRepository,
    LocalAgentRuntime,
    SessionManager,
    SessionRepository,
)
from session_router.events import SignalOutcome
from session_router.repository.base import SIGNALS_READ
from session_router.signals.local_streams import LocalStreams
from session_router.worker import Worker

ALICE = AgentId("writer", "alice")
BOB = AgentId("writer", "bob")


class Stoppable:
    def trigger_transient_cancel(self) -> None:
        return None


async def test_streams_that_were_ended_elsewhere_are_forgotten(
    repository: SessionRepository,
) -> None:
    here, elsewhere = LocalStreams(), LocalStreams()
    worker = Worker(repository, here, lambda lost: None)
    other = Worker(repository, elsewhere, lambda lost: None)
    ended = await worker.register("chat", ALICE, uuid4(), renew=False)
    kept = await worker.register("chat", BOB, uuid4(), renew=False)
    await SessionManager(repository).unmark_agent_streaming("chat", ALICE, ended.stream_id)
    await worker.reconcile()
    assert [stream.stream_id for stream in here.all()] == [kept.stream_id]
    await other.reconcile()


async def test_a_stream_whose_signal_is_on_its_way_is_not_forgotten(
    repository: SessionRepository,
) -> None:
    streams = LocalStreams()
    worker = Worker(repository, streams, lambda lost: None)
    registration = await worker.register("chat", ALICE, uuid4(), renew=False)
    await SessionManager(repository).interrupt_streaming_agents("chat")
    await worker.reconcile()
    assert [stream.stream_id for stream in streams.all()] == [registration.stream_id]


async def test_more_signals_than_are_read_at_a_time_are_all_delivered() -> None:
    repository, runtime = InMemorySessionRepository(), LocalAgentRuntime()
    agents = [AgentId("writer", str(number)) for number in range(SIGNALS_READ * 2 + 1)]
    async with SessionManager(repository, runtime) as owner, SessionManager(repository) as other:
        for agent_id in agents:
            runtime.add(agent_id, Stoppable())
            await owner.register_agent("chat", agent_id)
        outcomes = await other.interrupt_streaming_agents("chat", wait=30)
    assert outcomes == dict.fromkeys(sorted(agents), SignalOutcome.DELIVERED)


async def test_a_worker_that_finds_itself_gone_hands_over_what_it_lost(
    repository: SessionRepository,
) -> None:
    lost: list[AgentId] = []
    streams = LocalStreams()
    worker = Worker(repository, streams, lambda found: lost.extend(s.agent_id for s in found))
    before = (await worker.register("chat", ALICE, uuid4(), renew=False), worker.worker_id)[1]
    await repository.remove_worker(before)
    await worker.register("chat", BOB, uuid4(), renew=False)
    assert worker.worker_id != before
    assert lost == [ALICE]
