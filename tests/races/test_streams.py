"""Streams: takeover against takeover, finish against finish, and the worker's fence."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from session_router import WorkerGoneError
from session_router.events import EventName, SignalOutcome, StreamOutcome
from session_router.repository.changes import Finish, Register, Start, Stop
from session_router.repository.records import Settlement
from session_router.repository.results import Leftovers
from session_router.repository.sql import interrupts, signals, streams, workers
from tests.races.conftest import BY_TEST, WRITER, Race, within


async def test_of_two_takeovers_the_second_supersedes_the_first(race: Race) -> None:
    owner, first, second = [await race.worker() for _ in range(3)]
    original = await race.register("s", owner)
    async with race.held() as conn:
        taken = await streams.register(
            conn, race.tables, Register("s", WRITER, first, uuid4(), False)
        )
        taking = await race.blocked(race.register("s", second))
    last = await within(taking)
    events = await race.repository.list_events("s")
    superseded = [e.stream_id for e in events if e.outcome is StreamOutcome.SUPERSEDED]
    assert superseded == [original, taken.stream_id]
    [live] = await race.repository.list_streams("s")
    assert (live.stream_id, live.worker_id) == (last, second)
    for worker_id, stream_id in ((owner, original), (first, taken.stream_id)):
        [signal] = await race.repository.unsettled_signals(worker_id)
        assert signal.stream_id == stream_id


async def test_two_first_registrations_of_an_agent_make_one_stream_at_a_time(race: Race) -> None:
    first, second = await race.worker(), await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, first, uuid4(), False))
        registering = await race.blocked(race.register("s", second))
    await within(registering)
    assert len(await race.repository.list_streams("s")) == 1


async def test_a_takeover_spares_the_stream_that_just_finished(race: Race) -> None:
    owner, other = await race.worker(), await race.worker()
    stream_id = await race.register("s", owner)
    async with race.held() as conn:
        await streams.finish(
            conn, race.tables, Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, None, None)
        )
        taking = await race.blocked(race.register("s", other))
    await within(taking)
    events = await race.repository.list_events("s")
    ends = [e.outcome for e in events if e.event is EventName.STREAM_FINISHED]
    assert ends == [StreamOutcome.COMPLETED]
    assert await race.repository.unsettled_signals(owner) == []


async def test_a_finish_that_waited_for_an_interrupt_finds_nothing(race: Race) -> None:
    stream_id = await race.register("s", await race.worker())
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        finishing = await race.blocked(
            race.repository.finish_stream(
                Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id=stream_id)
            )
        )
    assert await within(finishing) is None


async def test_an_interrupt_that_waited_for_a_finish_signals_nobody(race: Race) -> None:
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    async with race.held() as conn:
        await streams.finish(
            conn, race.tables, Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, None, None)
        )
        interrupting = await race.blocked(race.repository.interrupt_streams("s", None, BY_TEST))
    request = await within(interrupting)
    assert request is not None
    assert (request.agents, request.signals) == ([], [])


async def test_a_registration_that_waited_for_its_workers_removal_writes_nothing(
    race: Race,
) -> None:
    worker_id = await race.worker()
    async with race.held() as conn:
        await workers.delete_row(conn, race.tables, worker_id)
        registering = await race.blocked(race.register("s", worker_id))
    with pytest.raises(WorkerGoneError):
        await within(registering)
    assert await race.repository.list_events() == []


async def test_a_workers_removal_waits_for_its_registration_and_ends_it(race: Race) -> None:
    worker_id = await race.worker()
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        removing = await race.blocked(race.repository.remove_worker(worker_id))
    assert await within(removing) == Leftovers(streams=1, workers=1)
    assert await race.repository.list_streams("s") == []


async def test_a_workers_removal_settles_the_signal_that_was_being_written(race: Race) -> None:
    worker_id = await race.worker()
    await race.register("s", worker_id)
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        removing = await race.blocked(race.repository.remove_worker(worker_id))
    assert await within(removing) == Leftovers(signals=1, workers=1)


async def test_a_signal_that_two_settle_is_settled_once(race: Race) -> None:
    worker_id = await race.worker()
    await race.register("s", worker_id)
    request = await race.repository.interrupt_streams("s", None, BY_TEST)
    assert request is not None
    delivered = Settlement(request.signals[0].signal_id, SignalOutcome.DELIVERED)
    lost = Settlement(request.signals[0].signal_id, SignalOutcome.LOST)
    async with race.held() as conn:
        await signals.settle(conn, race.tables, [delivered])
        settling = await race.blocked(race.repository.settle_signals([lost]))
    assert await within(settling) == 0
    async with race.held() as conn:
        assert (await conn.execute(select(race.tables.interrupt_signals))).all() == []
