"""Remote workers against their reaping, and against whoever holds a row of theirs."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from session_router import SignalOutcome
from session_router.errors import WorkerNotFoundError
from session_router.events import StreamOutcome
from session_router.repository.changes import Finish
from session_router.repository.records import Settlement
from session_router.repository.sql import signals, streams, workers
from tests.races.conftest import BY_TEST, WRITER, Race, within
from tests.support.trail import events


async def signalled(race: Race, worker_id: UUID) -> Settlement:
    """What the worker says of a signal that it has."""
    await race.register("s", worker_id)
    request = await race.repository.interrupt_streams("s", None, BY_TEST)
    assert request is not None
    [signal] = request.signals
    return Settlement(signal.signal_id, SignalOutcome.DELIVERED)


async def test_a_workers_row_that_is_held_delays_no_other_heartbeat(race: Race) -> None:
    held, *others = [await race.worker() for _ in range(6)]
    row = select(race.tables.workers).where(race.tables.workers.c.worker_id == held)
    async with race.held() as conn:
        await conn.execute(row.with_for_update())
        waits = asyncio.create_task(race.repository.beat(held))
        beats = await within(asyncio.gather(*(race.repository.beat(i) for i in others)))
        assert None not in beats
        assert not waits.done()
    assert await within(waits) is not None
    assert await race.repository.beat(uuid4()) is None


async def test_a_settlement_waits_for_a_reaping_and_writes_nothing(race: Race) -> None:
    worker_id = await race.worker()
    settlement = await signalled(race, worker_id)
    async with race.held() as conn:
        await workers.delete_row(conn, race.tables, worker_id)
        settling = race.repository.settle_signals([settlement], worker_id=worker_id)
        blocked = await race.blocked(settling)
    with pytest.raises(WorkerNotFoundError):
        await within(blocked)
    assert await events(race.repository, "signal_settled") == []
    await race.repository.reap_workers({})
    [lost] = await events(race.repository, "signal_settled")
    assert lost.outcome == "lost"


async def test_a_reaping_passes_over_a_worker_that_just_settles(race: Race) -> None:
    worker_id = await race.worker()
    settlement = await signalled(race, worker_id)
    beats = await race.repository.heartbeats()
    async with race.held() as conn:
        await signals.settle_own(conn, race.tables, [settlement], worker_id)
        assert (await within(race.repository.reap_workers(beats))).workers == 0
    assert (await race.repository.reap_workers(beats)).workers == 1
    [settled] = await events(race.repository, "signal_settled")
    assert settled.outcome == "delivered"


async def test_of_two_ends_of_a_stream_at_once_one_is_written(race: Race) -> None:
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    ending = Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, worker_id, is_fenced=True)
    async with race.held() as conn:
        stream = select(race.tables.agent_streams).with_for_update()
        await conn.execute(stream)
        blocked = await race.blocked(race.repository.finish_stream(ending))
        await streams.finish(conn, race.tables, ending)
    assert await within(blocked) is None
    assert len(await events(race.repository, "stream_finished")) == 1
