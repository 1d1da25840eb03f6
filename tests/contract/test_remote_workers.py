"""What is asked for on behalf of workers that come over HTTP: nothing of another's, or too late."""

from uuid import UUID, uuid4

import pytest

from session_router import AgentId, SessionRepository, SignalOutcome, StreamOutcome
from session_router.errors import SignalNotFoundError, WorkerNotFoundError
from session_router.repository.changes import Finish, Register
from session_router.repository.records import NO_WORKER, Requester, Settlement, Signal
from tests.support.trail import events, story

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def entered(repository: SessionRepository, key_id: str | None = None) -> UUID:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "box-1", 4711, key_id)
    return worker_id


async def streaming(
    repository: SessionRepository, worker_id: UUID, agent_id: AgentId = A, session_id: str = "s"
) -> UUID:
    asked = Register(session_id, agent_id, worker_id, uuid4(), renew=True)
    return (await repository.register_stream(asked)).stream_id


async def signalled(
    repository: SessionRepository, worker_id: UUID, agent_id: AgentId = A, session_id: str = "s"
) -> Signal:
    """A signal to the worker, for a stream of its own."""
    await streaming(repository, worker_id, agent_id, session_id)
    request = await repository.interrupt_streams(session_id, [agent_id], Requester())
    assert request is not None
    [signal] = request.signals
    return signal


async def test_a_worker_is_found_with_the_key_that_entered_it(
    repository: SessionRepository,
) -> None:
    ours, others = await entered(repository, "3636ac3601c1"), await entered(repository)
    await streaming(repository, ours)
    found = await repository.find_worker(ours)
    assert found is not None
    assert (found.worker_id, found.host, found.pid) == (ours, "box-1", 4711)
    assert (found.key_id, found.streams) == ("3636ac3601c1", 1)
    listed = {row.worker_id: row.key_id for row in await repository.list_workers()}
    assert listed == {ours: "3636ac3601c1", others: None}
    assert await repository.find_worker(uuid4()) is None
    await repository.remove_worker(ours)
    assert await repository.find_worker(ours) is None


async def test_how_a_worker_learns_of_its_signals_is_kept_with_it(
    repository: SessionRepository,
) -> None:
    worker_id = await entered(repository)
    listed = await repository.list_workers()
    assert [row.wake_ups for row in listed] == [None]
    for told_by in ("listening", "polling"):
        assert await repository.note_wake_ups(worker_id, told_by)
        found = await repository.find_worker(worker_id)
        assert found is not None
        assert found.wake_ups == told_by
    assert not await repository.note_wake_ups(uuid4(), "listening")


async def test_the_signals_of_many_workers_are_read_at_once_each_oldest_first(
    repository: SessionRepository,
) -> None:
    ours, silent, others = [await entered(repository) for _ in range(3)]
    made = [
        await signalled(repository, worker_id, agent_id, session_id)
        for session_id in ("s1", "s2")
        for worker_id, agent_id in ((ours, A), (others, B))
    ]
    gone = uuid4()
    found = await repository.unsettled_signals_of([ours, silent, gone])
    assert found == {ours: [s for s in made if s.worker_id == ours], silent: []}
    assert await repository.unsettled_signals_of([]) == {}


async def test_a_workers_own_signals_are_settled_and_those_settled_before_not_counted(
    repository: SessionRepository,
) -> None:
    worker_id = await entered(repository)
    first, second = [await signalled(repository, worker_id, agent) for agent in (A, B)]
    done = Settlement(first.signal_id, SignalOutcome.DELIVERED)
    failed = Settlement(second.signal_id, SignalOutcome.FAILED, "it hangs")
    assert await repository.settle_signals([done], worker_id=worker_id) == 1
    assert await repository.settle_signals([done, failed], worker_id=worker_id) == 1
    assert await repository.settle_signals([done, failed], worker_id=worker_id) == 0
    settled = await events(repository, "signal_settled")
    assert [(e.outcome, e.detail) for e in settled] == [("delivered", None), ("failed", "it hangs")]


async def test_a_settlement_of_another_workers_signal_writes_nothing(
    repository: SessionRepository,
) -> None:
    ours, others = await entered(repository), await entered(repository)
    own, foreign = await signalled(repository, ours), await signalled(repository, others, B)
    settlements = [Settlement(s.signal_id, SignalOutcome.DELIVERED) for s in (own, foreign)]
    with pytest.raises(SignalNotFoundError, match=str(foreign.signal_id)):
        await repository.settle_signals(settlements, worker_id=ours)
    assert await events(repository, "signal_settled") == []
    # A worker of this process may settle whatever its reaper would.
    assert await repository.settle_signals(settlements) == 2


@pytest.mark.parametrize("removes", [True, False])
async def test_a_worker_that_is_gone_settles_registers_and_ends_nothing(
    repository: SessionRepository, removes: bool
) -> None:
    worker_id = await entered(repository)
    signal = await signalled(repository, worker_id)
    stream_id = await streaming(repository, worker_id, B)
    if removes:
        await repository.remove_worker(worker_id)
    else:
        await repository.reap_workers(await repository.heartbeats())
    written = await story(repository)
    settlement = Settlement(signal.signal_id, SignalOutcome.DELIVERED)
    with pytest.raises(WorkerNotFoundError, match=str(worker_id)):
        await repository.settle_signals([settlement], worker_id=worker_id)
    with pytest.raises(WorkerNotFoundError, match=str(worker_id)):
        await streaming(repository, worker_id)
    ending = Finish("s", B, StreamOutcome.FAILED, stream_id, worker_id, is_fenced=True)
    with pytest.raises(WorkerNotFoundError, match=str(worker_id)):
        await repository.finish_stream(ending)
    assert await repository.beat(worker_id) is None
    assert await story(repository) == written


async def test_a_fenced_ending_is_of_that_workers_stream_only(
    repository: SessionRepository,
) -> None:
    ours, others = await entered(repository), await entered(repository)
    stream_id = await streaming(repository, others)

    def ending(worker_id: UUID) -> Finish:
        return Finish("s", A, StreamOutcome.FAILED, stream_id, worker_id, "why", is_fenced=True)

    assert await repository.finish_stream(ending(ours)) is None
    assert await repository.finish_stream(ending(others)) == stream_id
    assert await repository.finish_stream(ending(others)) is None
    [finished] = await events(repository, "stream_finished")
    assert (finished.stream_id, finished.outcome, finished.detail) == (stream_id, "failed", "why")
    assert finished.worker_id == others


async def test_nobodys_streams_are_no_workers(repository: SessionRepository) -> None:
    assert await repository.find_worker(NO_WORKER) is None
