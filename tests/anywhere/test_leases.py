"""Workers that die or pause: what they leave behind is cleared, and nobody else's is touched."""

import asyncio
import signal

from session_router import AgentId
from session_router.events import EventName, SignalOutcome, StreamOutcome
from tests.anywhere.conftest import LEASE_SEC, Workplace
from tests.support.waiting import eventually

ALICE, BOB = AgentId("writer", "alice"), AgentId("writer", "bob")


async def outcomes(workplace: Workplace) -> dict[AgentId | None, object]:
    finished = await workplace.events(EventName.STREAM_FINISHED)
    assert len({event.stream_id for event in finished}) == len(finished)
    return {event.agent_id: event.outcome for event in finished}


async def test_the_streams_and_signals_of_a_killed_worker_are_lost(workplace: Workplace) -> None:
    killed = await workplace.worker(("chat", "alice"), ("doomed", "carol"))
    await workplace.worker(("chat", "bob"))
    killed.send(signal.SIGKILL)
    receipts = await workplace.manager.interrupt_streaming_agents("doomed", wait=20)
    assert receipts == {AgentId("writer", "carol"): SignalOutcome.LOST}

    async def alice_is_lost() -> bool:
        return (await outcomes(workplace)).get(ALICE) is StreamOutcome.WORKER_LOST

    await eventually(alice_is_lost, within=60)
    assert BOB not in await outcomes(workplace)
    [settled] = await workplace.events(EventName.SIGNAL_SETTLED)
    assert settled.outcome is SignalOutcome.LOST
    assert len(await workplace.repository.list_workers()) == 2
    session = await workplace.manager.get_session("chat")
    assert session is not None
    assert session.agents_streaming == {BOB}


async def test_a_worker_that_was_paused_and_reaped_goes_on_as_another(workplace: Workplace) -> None:
    paused = await workplace.worker(("chat", "alice"))
    before = await workplace.repository.list_workers()
    await workplace.pause(paused)

    async def is_reaped() -> bool:
        return ALICE in await outcomes(workplace)

    await eventually(is_reaped, within=60)
    paused.send(signal.SIGCONT)
    # It cancels what it streamed, writes nothing of it, and can stream again.
    await paused.hears("ended", key="alice", outcome="interrupted")
    await paused.tell("stream chat bob")
    again = await paused.hears("streaming", key="bob")
    assert again["worker_id"] not in {str(worker.worker_id) for worker in before}
    assert await outcomes(workplace) == {ALICE: StreamOutcome.WORKER_LOST}
    assert await workplace.manager.interrupt_streaming_agents("chat", wait=20) == {
        BOB: SignalOutcome.DELIVERED
    }


async def test_a_worker_registers_anew_at_once_when_it_finds_itself_reaped(
    workplace: Workplace,
) -> None:
    worker = await workplace.worker(("chat", "alice"))
    mine = workplace.manager.worker_id
    [other] = [w for w in await workplace.repository.list_workers() if w.worker_id != mine]
    await workplace.repository.remove_worker(other.worker_id)
    await worker.tell("stream chat bob")
    again = await worker.hears("streaming", key="bob")
    assert again["worker_id"] != str(other.worker_id)
    await worker.hears("ended", key="alice", outcome="interrupted")


async def test_workers_that_live_are_not_reaped(workplace: Workplace) -> None:
    await workplace.worker(("chat", "alice"))
    before = {worker.worker_id for worker in await workplace.repository.list_workers()}

    async def has_reaped_for_a_while() -> bool:
        # Both workers have been steady for a lease, and had the time for reaping twice.
        ages = [w.heartbeat_at - w.started_at for w in await workplace.repository.list_workers()]
        return min(ages).total_seconds() > 2 * LEASE_SEC

    await eventually(has_reaped_for_a_while, within=60)
    assert {worker.worker_id for worker in await workplace.repository.list_workers()} == before
    assert await outcomes(workplace) == {}


async def test_a_stream_that_was_imported_is_never_reaped(workplace: Workplace) -> None:
    session = await workplace.manager.start_session("imported")
    session.mark_agent_streaming(ALICE)
    await workplace.repository.save_session(session)
    killed = await workplace.worker(("chat", "bob"))
    killed.send(signal.SIGKILL)

    async def bob_is_lost() -> bool:
        return BOB in await outcomes(workplace)

    await eventually(bob_is_lost, within=60)
    await asyncio.sleep(0)
    assert ALICE not in await outcomes(workplace)
