"""The stop of a named stream against its registration: whichever is first, it does not run on."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from session_router import SessionBusyError, SignalOutcome, StreamExistsError
from session_router.repository.changes import Register, Start, Stop, StopStream, WhenBusy
from session_router.repository.results import Found, Registration
from session_router.repository.sql import interrupts, streams
from tests.races.conftest import BY_TEST, WRITER, Race, within

KEPT = timedelta(minutes=10)
LIVES = pytest.mark.parametrize("lives", [True, False], ids=["lives", "does not live"])


def named(worker_id: UUID, name: UUID, session_id: str = "s") -> Register:
    return Register(session_id, WRITER, worker_id, name, renew=False, is_named=True)


def stop_of(name: UUID) -> StopStream:
    return StopStream("s", name, BY_TEST, KEPT)


@LIVES
async def test_a_registration_that_waited_for_its_stop_is_stopped(race: Race, lives: bool) -> None:
    worker_id, name = await race.worker(), uuid4()
    if lives:
        await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        stop = await interrupts.interrupt_stream(conn, race.tables, stop_of(name))
        registering = await race.blocked(
            race.repository.register_stream(named(worker_id, name)), at="SELECT pg_advisory"
        )
    assert stop.found is Found.AHEAD
    assert await within(registering) == Registration(name, is_stopped=True)
    assert await race.repository.list_streams("s") == []
    settled = await race.repository.signal_outcomes("s", stop.request_id)
    assert settled == {name: SignalOutcome.DELIVERED}


@LIVES
async def test_a_stop_that_waited_for_its_registration_finds_it(race: Race, lives: bool) -> None:
    worker_id, name = await race.worker(), uuid4()
    if lives:
        await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, named(worker_id, name))
        stopping = await race.blocked(
            race.repository.interrupt_stream(stop_of(name)), at="SELECT pg_advisory"
        )
    stop = await within(stopping)
    assert (stop.found, stop.agent_id) == (Found.LIVE, WRITER)
    assert [signal.stream_id for signal in stop.signals] == [name]
    assert await race.repository.list_streams("s") == []


async def test_a_batch_leaves_a_name_alone_that_is_being_stopped(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    async with race.held() as conn:
        await interrupts.interrupt_stream(conn, race.tables, stop_of(name))
        registering = await race.blocked(race.repository.register_stream(named(worker_id, name)))
        beside = uuid4()
        while beside.int % 64 == name.int % 64:
            beside = uuid4()
        registered = await race.repository.register_stream(named(worker_id, beside, "t"))
    assert registered == Registration(beside)
    assert (await within(registering)).is_stopped


async def test_a_stop_that_waited_for_the_sessions_end_finds_the_stream_over(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    await race.repository.register_stream(named(worker_id, name))
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        stopping = await race.blocked(race.repository.interrupt_stream(stop_of(name)))
    stop = await within(stopping)
    assert (stop.found, stop.agent_id, stop.signals) == (Found.OVER, WRITER, [])


async def test_of_two_registrations_of_one_name_in_two_sessions_one_is_refused(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    async with race.held() as conn:
        await streams.register(conn, race.tables, named(worker_id, name, "s"))
        registering = await race.blocked(
            race.repository.register_stream(named(worker_id, name, "t"))
        )
    with pytest.raises(StreamExistsError):
        await within(registering)
    assert await race.repository.find_session("t") is None


@pytest.mark.parametrize("alone", [True, False])
async def test_of_two_that_refuse_each_other_the_second_is_refused(race: Race, alone: bool) -> None:
    first, second = await race.worker(), await race.worker()

    def asked(worker_id: UUID) -> Register:
        return Register(
            "s", WRITER, worker_id, uuid4(), False, when_busy=WhenBusy.REFUSE, alone=alone
        )

    async with race.held() as conn:
        won = await streams.register(conn, race.tables, asked(first))
        registering = await race.blocked(race.repository.register_stream(asked(second)))
    with pytest.raises(SessionBusyError, match="is busy: writer/alice streams in it"):
        await within(registering)
    assert [s.stream_id for s in await race.repository.list_streams("s")] == [won.stream_id]
