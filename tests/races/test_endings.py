"""Whoever ends a session against whoever is just changing it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from session_router import Session
from session_router.events import EventName, SessionEvent, StreamOutcome
from session_router.repository.changes import Register, Start, Stop, Touch
from session_router.repository.sql import endings, interrupts, sessions, streams
from tests.races.conftest import BY_TEST, WRITER, Race, within

LONG_AGO = datetime.now(UTC) - timedelta(days=1)
IDLE = timedelta(minutes=30)


async def story(race: Race, session_id: str = "s") -> list[SessionEvent]:
    return await race.repository.list_events(session_id)


async def outcomes(race: Race) -> list[object]:
    return [e.outcome for e in await story(race) if e.event is EventName.STREAM_FINISHED]


async def test_an_end_stops_the_stream_that_was_being_registered(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        stream_id = uuid4()
        await streams.register(
            conn, race.tables, Register("s", WRITER, worker_id, stream_id, False)
        )
        ending = await race.blocked(race.repository.end_session("s", BY_TEST))
    request = await within(ending)
    assert request is not None
    assert [signal.stream_id for signal in request.signals] == [stream_id]
    assert await outcomes(race) == [StreamOutcome.SESSION_ENDED]


async def test_an_end_stops_the_stream_of_a_session_that_was_being_created(race: Race) -> None:
    worker_id = await race.worker()
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        starting = await race.blocked(race.repository.start_session(Start("s", BY_TEST)))
    await within(starting)
    request = await race.repository.end_session("s", BY_TEST)
    assert request is not None
    assert len(request.signals) == 1


async def test_a_registration_that_waited_for_an_end_begins_a_new_session(race: Race) -> None:
    worker_id = await race.worker()
    before = await race.register("s", worker_id)
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        registering = await race.blocked(race.register("s", worker_id))
    after = await within(registering)
    assert after != before
    assert [s.stream_id for s in await race.repository.list_streams("s")] == [after]
    started = [e for e in await story(race) if e.event is EventName.SESSION_STARTED]
    assert len({e.session_uid for e in started}) == 2


async def test_a_replacement_stops_the_stream_that_was_being_registered(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        replacing = await race.blocked(race.repository.replace_session(Start("s", BY_TEST)))
    session, request = await within(replacing)
    assert session.agents_streaming == set()
    assert len(request.signals) == 1
    assert await outcomes(race) == [StreamOutcome.SESSION_REPLACED]


async def test_a_registration_that_waited_for_a_replacement_belongs_to_the_new_life(
    race: Race,
) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await endings.replace(conn, race.tables, Start("s", BY_TEST))
        registering = await race.blocked(race.register("s", worker_id))
    await within(registering)
    started = [e for e in await story(race) if e.event is EventName.STREAM_STARTED]
    fresh = [e for e in await story(race) if e.event is EventName.SESSION_STARTED][-1]
    assert [e.session_uid for e in started] == [fresh.session_uid]


async def test_an_interrupt_takes_the_stream_that_was_being_registered(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        interrupting = await race.blocked(race.repository.interrupt_streams("s", None, BY_TEST))
    request = await within(interrupting)
    assert request is not None
    assert request.agents == [WRITER]


async def test_a_stream_registered_after_an_interrupt_is_not_hit(race: Race) -> None:
    worker_id = await race.worker()
    before = await race.register("s", worker_id)
    async with race.held() as conn:
        request = await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        registering = await race.blocked(race.register("s", worker_id))
    after = await within(registering)
    assert request is not None
    assert [signal.stream_id for signal in request.signals] == [before]
    assert [s.stream_id for s in await race.repository.list_streams("s")] == [after]


async def test_a_save_that_waited_for_a_registration_finishes_the_stream_it_lacks(
    race: Race,
) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        saving = await race.blocked(race.repository.save_session(Session(session_id="s")))
    await within(saving)
    assert await outcomes(race) == [StreamOutcome.COMPLETED]


async def test_two_that_start_a_session_make_one(race: Race) -> None:
    async with race.held() as conn:
        first = await sessions.start(conn, race.tables, Start("s", BY_TEST))
        starting = await race.blocked(race.repository.start_session(Start("s", BY_TEST)))
    session = await within(starting)
    assert session.start_time == first.start_time
    assert session.last_updated > first.last_updated
    assert len(await story(race)) == 1


async def test_a_start_that_waited_for_an_end_creates_the_session_anew(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        starting = await race.blocked(race.repository.start_session(Start("s", BY_TEST)))
    await within(starting)
    events = [e.event for e in await story(race)]
    assert events == [EventName.SESSION_STARTED, EventName.SESSION_ENDED, EventName.SESSION_STARTED]


async def test_a_touch_that_waited_for_an_end_revives_nothing(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        touching = await race.blocked(race.repository.touch_session(Touch("s")))
    assert await within(touching) is None


async def test_a_touch_tells_the_time_at_which_it_had_the_row(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await sessions.lock(conn, race.tables, "s")
        touching = await race.blocked(race.repository.touch_session(Touch("s")))
        waited_until = datetime.now(UTC)  # the server runs on this machine and its clock
    session = await within(touching)
    assert session is not None
    assert session.last_updated > waited_until


async def test_an_interrupt_that_waited_for_an_end_finds_no_session(race: Race) -> None:
    await race.register("s", await race.worker())
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        interrupting = await race.blocked(race.repository.interrupt_streams("s", None, BY_TEST))
    assert await within(interrupting) is None
    assert await outcomes(race) == [StreamOutcome.SESSION_ENDED]


async def test_an_end_that_waited_for_an_interrupt_stops_nothing_twice(race: Race) -> None:
    worker_id = await race.worker()
    await race.register("s", worker_id)
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        ending = await race.blocked(race.repository.end_session("s", BY_TEST))
    request = await within(ending)
    assert request is not None
    assert request.streams == []
    assert await outcomes(race) == [StreamOutcome.INTERRUPTED]
    assert len(await race.repository.unsettled_signals(worker_id)) == 1
