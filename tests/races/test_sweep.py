"""The sweep against whoever touches, registers, finishes or sweeps at the same time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import Session
from session_router.events import EventName, StreamOutcome
from session_router.repository.changes import OWN_TIMEOUTS, Finish, Register, Stop, Touch
from session_router.repository.results import SweepBatch
from session_router.repository.sql import interrupts, sessions, streams
from tests.races.conftest import BY_TEST, WRITER, Race, within

IDLE = timedelta(minutes=30)


async def make_idle(race: Race, *session_ids: str) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    for session_id in session_ids:
        session = await race.repository.find_session(session_id) or Session(session_id=session_id)
        session.last_updated = long_ago
        await race.repository.save_session(session)


async def idle_stream(race: Race) -> tuple[UUID, UUID]:
    """An idle session in which a worker streams."""
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    await make_idle(race, "s")
    return worker_id, stream_id


async def sweep(race: Race) -> SweepBatch:
    return await race.repository.expire_sessions(IDLE, BY_TEST, limit=100)


async def expire_batch(conn: AsyncConnection, limit: int) -> int:
    """What a sweep's batch does, uncommitted; returns how many sessions it deleted."""
    call = "SELECT * FROM session_router.expire_sessions($1, $2, NULL, NULL, NULL, $3)"
    found = await conn.exec_driver_sql(call, (IDLE, limit, uuid4()))
    swept: int = found.one().sessions
    return swept


async def ends(race: Race) -> list[object]:
    events = await race.repository.list_events("s")
    return [e.outcome for e in events if e.event is EventName.STREAM_FINISHED]


async def test_a_sweep_passes_over_the_session_that_is_being_touched(race: Race) -> None:
    await make_idle(race, "s", "other")
    async with race.held() as conn:
        await sessions.touch(conn, race.tables, "s")
        assert (await sweep(race)).sessions == 1
    assert (await sweep(race)).sessions == 0
    assert await race.repository.find_session("s") is not None


async def test_a_touch_that_waited_for_the_sweep_revives_nothing(race: Race) -> None:
    await make_idle(race, "s")
    async with race.held() as conn:
        await expire_batch(conn, 100)
        touching = await race.blocked(race.repository.touch_session(Touch("s")))
    assert await within(touching) is None


async def test_a_registration_that_waited_for_the_sweep_begins_a_new_session(race: Race) -> None:
    worker_id, old = await idle_stream(race)
    async with race.held() as conn:
        await expire_batch(conn, 100)
        registering = await race.blocked(race.register("s", worker_id))
    new = await within(registering)
    assert new != old
    assert await ends(race) == [StreamOutcome.SESSION_EXPIRED]


async def test_a_sweep_passes_over_the_session_that_is_being_registered_in(race: Race) -> None:
    worker_id = await race.worker()
    await make_idle(race, "s")
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        assert (await sweep(race)).sessions == 0
    assert len(await race.repository.list_streams("s")) == 1


async def test_a_sweep_that_waited_for_an_unmark_finds_the_stream_finished(race: Race) -> None:
    _, stream_id = await idle_stream(race)
    async with race.held() as conn:
        await streams.finish(
            conn, race.tables, Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, None, None)
        )
        sweeping = await race.blocked(sweep(race))
    assert await within(sweeping) == SweepBatch(1, 0, [], OWN_TIMEOUTS)
    assert await ends(race) == [StreamOutcome.COMPLETED]


async def test_an_unmark_that_waited_for_the_sweep_finds_nothing(race: Race) -> None:
    _, stream_id = await idle_stream(race)
    async with race.held() as conn:
        await expire_batch(conn, 100)
        finishing = await race.blocked(
            race.repository.finish_stream(
                Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id=stream_id)
            )
        )
    assert await within(finishing) is None
    assert await ends(race) == [StreamOutcome.SESSION_EXPIRED]


async def test_two_sweeps_share_the_work(race: Race) -> None:
    await make_idle(race, *(f"s{i}" for i in range(10)))
    async with race.held() as conn:
        mine = await expire_batch(conn, 4)
        theirs = await sweep(race)
    assert (mine, theirs.sessions) == (4, 6)


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_batches_take_up_where_the_last_one_ended(race: Race, limit: int) -> None:
    await make_idle(race, *(f"s{i}" for i in range(10)))
    position, swept = None, 0
    while True:
        batch = await race.repository.expire_sessions(IDLE, BY_TEST, limit=limit, after=position)
        swept, position = swept + batch.sessions, batch.position
        if position is None:
            break
    assert swept == 10


async def test_an_interrupt_that_waited_for_the_sweep_finds_no_session(race: Race) -> None:
    await idle_stream(race)
    async with race.held() as conn:
        await expire_batch(conn, 100)
        interrupting = await race.blocked(race.repository.interrupt_streams("s", None, BY_TEST))
    assert await within(interrupting) is None
    assert await ends(race) == [StreamOutcome.SESSION_EXPIRED]


async def test_a_sweep_passes_over_the_session_that_is_being_interrupted(race: Race) -> None:
    await idle_stream(race)
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        assert (await sweep(race)).sessions == 0
    assert (await sweep(race)).sessions == 1
    assert await ends(race) == [StreamOutcome.INTERRUPTED]
