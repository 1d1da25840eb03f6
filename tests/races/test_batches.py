"""The lock rules where the hot operations go in batches: each race with its interleaving forced.

The held transaction is a batch's function call that has not committed yet, or what a batch meets.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import AgentId, Session, WorkerGoneError
from session_router.events import StreamOutcome
from session_router.repository.changes import Finish, Register, Start, Stop, Touch
from session_router.repository.sql import endings, interrupts, sessions
from tests.races.conftest import BY_TEST, WRITER, Race, within

FOREVER = timedelta(days=1)


async def register_batch(conn: AsyncConnection, session_id: str, worker_id: UUID) -> UUID:
    """What a batch of one registration does, uncommitted."""
    stream_id = uuid4()
    call = "SELECT * FROM session_router.register_streams($1, $2, $3, $4, $5, $6)"
    agent = [session_id], [WRITER.type], [WRITER.key]
    found = await conn.exec_driver_sql(call, (*agent, [stream_id], [worker_id], [uuid4()]))
    assert [row.stream_id for row in found] == [stream_id]
    return stream_id


async def finish_batch(conn: AsyncConnection, session_id: str, stream_id: UUID) -> None:
    call = "SELECT * FROM session_router.finish_streams($1, $2, $3, $4, $5, $6, $7)"
    agent = [session_id], [WRITER.type], [WRITER.key]
    found = await conn.exec_driver_sql(
        call, (*agent, [stream_id], [None], [StreamOutcome.COMPLETED], [None])
    )
    assert [row.stream_id for row in found] == [stream_id]


async def outcomes(race: Race) -> list[object]:
    events = await race.repository.list_events("s")
    return [event.outcome for event in events if event.event == "stream_finished"]


async def test_an_end_waits_for_a_batch_that_registers_and_stops_the_stream(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        stream_id = await register_batch(conn, "s", worker_id)
        ending = await race.blocked(race.repository.end_session("s", BY_TEST))
    request = await within(ending)
    assert request is not None
    assert [signal.stream_id for signal in request.signals] == [stream_id]


async def test_an_end_waits_for_a_batch_that_creates_its_session(race: Race) -> None:
    worker_id = await race.worker()
    async with race.held() as conn:
        await register_batch(conn, "s", worker_id)
        starting = await race.blocked(race.repository.start_session(Start("s", BY_TEST)))
    session = await within(starting)
    assert session.agents_streaming == {WRITER}


async def test_a_takeover_waits_for_a_batch_that_registers(race: Race) -> None:
    first, second = await race.worker(), await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        stream_id = await register_batch(conn, "s", first)
        taking = await race.blocked(
            race.repository.register_stream(Register("s", WRITER, second, uuid4(), renew=False))
        )
    registration = await within(taking)
    assert [signal.stream_id for signal in registration.superseded] == [stream_id]
    [stream] = await race.repository.list_streams("s")
    assert stream.worker_id == second


async def test_a_registration_in_a_batch_waits_for_an_end_and_begins_a_new_life(
    race: Race,
) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        registering = await race.blocked(race.register("s", worker_id))
    await within(registering)
    lives = {event.session_uid for event in await race.repository.list_events("s")}
    assert len(lives) == 2


async def test_a_sweep_waits_for_a_batch_that_unmarks_and_signals_nobody(race: Race) -> None:
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    async with race.held() as conn:
        await conn.execute(
            text("UPDATE session_router.sessions SET last_updated = now() - interval '1 week'")
        )
    async with race.held() as conn:
        await finish_batch(conn, "s", stream_id)
        sweeping = await race.blocked(race.repository.expire_sessions(FOREVER, BY_TEST, limit=10))
    batch = await within(sweeping)
    assert (batch.sessions, batch.streams, batch.signals) == (1, 0, [])
    assert await outcomes(race) == [StreamOutcome.COMPLETED]


async def test_an_unmark_in_a_batch_waits_for_an_interrupt_and_ends_nothing(race: Race) -> None:
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    async with race.held() as conn:
        await interrupts.interrupt(conn, race.tables, Stop("s", BY_TEST))
        finishing = await race.blocked(
            race.repository.finish_stream(
                Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id=stream_id)
            )
        )
    assert await within(finishing) is None
    assert await outcomes(race) == [StreamOutcome.INTERRUPTED]


async def test_a_worker_that_was_reaped_registers_nothing_beside_one_that_lives(
    race: Race,
) -> None:
    alive, gone = await race.worker(), uuid4()
    found = await asyncio.gather(
        *(
            race.repository.register_stream(
                Register(session_id, WRITER, worker_id, uuid4(), renew=False)
            )
            for session_id, worker_id in [("a", alive), ("b", gone), ("c", alive)]
        ),
        return_exceptions=True,
    )
    assert [isinstance(one, WorkerGoneError) for one in found] == [False, True, False]
    assert await race.repository.list_events("b") == []
    assert await race.repository.find_session("b") is None


async def test_a_held_row_delays_only_those_of_its_batch_that_want_it(race: Race) -> None:
    worker_id = await race.worker()
    for session_id in ("a", "s", "z"):
        await race.repository.start_session(Start(session_id, BY_TEST))
    async with race.held() as conn:
        await conn.execute(
            text("SELECT 1 FROM session_router.sessions WHERE session_id = 's' FOR UPDATE")
        )
        held = await race.blocked(race.register("s", worker_id))
        await within(asyncio.gather(race.register("a", worker_id), race.register("z", worker_id)))
        touched = await race.repository.touch_session(Touch("a"))
        assert touched is not None
        assert not held.done()
    await within(held)
    assert len(await race.repository.list_streams("s")) == 1


async def test_a_registration_holds_its_session_even_where_its_last_touch_lies_ahead(
    race: Race,
) -> None:
    """Such a session is not touched, and so would not be locked by that."""
    worker_id = await race.worker()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await race.repository.save_session(Session(session_id="s", last_updated=ahead))
    async with race.held() as conn:
        await endings.replace(conn, race.tables, Start("s", BY_TEST))
        registering = await race.blocked(race.register("s", worker_id))
    await within(registering)
    events = await race.repository.list_events("s")
    [begun] = [event for event in events if event.event == "stream_started"]
    lives = [event.session_uid for event in events if event.event == "session_started"]
    assert begun.session_uid == lives[-1]


async def test_who_creates_a_session_slowly_delays_only_those_who_want_it(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("a", BY_TEST))
    async with race.held() as conn:
        await sessions.create(conn, race.tables, Start("s", BY_TEST))
        held = asyncio.create_task(race.register("s", worker_id))
        others = [race.register("a", worker_id), race.register("z", worker_id)]
        await within(asyncio.gather(*others))
        assert not held.done()
    await within(held)
    assert len(await race.repository.list_streams("s")) == 1


@pytest.mark.parametrize("hot", ["start", "register"])
async def test_who_creates_a_session_slowly_is_waited_for_also_by_a_batch_of_one(
    race: Race, hot: str
) -> None:
    """A batch gives up soon; who goes alone then waits."""
    wanting: Coroutine[Any, Any, object]
    if hot == "start":
        wanting = race.repository.start_session(Start("s", BY_TEST))
    else:
        wanting = race.register("s", await race.worker())
    async with race.held() as conn:
        await sessions.create(conn, race.tables, Start("s", BY_TEST))
        waiting = await race.blocked(wanting, at="INSERT INTO session_router.sessions")
    await within(waiting)
    started = [e for e in await race.repository.list_events("s") if e.event == "session_started"]
    assert len(started) == 1


async def test_many_held_sessions_leave_connections_to_all_others(race: Race) -> None:
    names = [f"held {n}" for n in range(30)]  # more than the pool has connections
    for name in (*names, "free"):
        await race.repository.start_session(Start(name, BY_TEST))
    async with race.held() as conn:
        await conn.execute(
            text("SELECT 1 FROM session_router.sessions WHERE session_id <> 'free' FOR UPDATE")
        )
        waiting = [
            asyncio.create_task(race.repository.touch_session(Touch(name))) for name in names
        ]
        await race.blocked(race.repository.touch_session(Touch("held 0")))
        assert await within(race.repository.touch_session(Touch("free"))) is not None
        assert not any(task.done() for task in waiting)
    assert None not in await within(asyncio.gather(*waiting))


async def test_a_row_that_was_inserted_by_hand_spoils_no_batch(race: Race) -> None:
    for name in ("s", "free"):
        await race.repository.start_session(Start(name, BY_TEST))
    async with race.held() as conn:
        await conn.execute(
            text(
                "INSERT INTO session_router.agent_streams SELECT 's', 'no type', 'a', "
                "gen_random_uuid(), gen_random_uuid(), now()"
            )
        )
    asked = (race.repository.touch_session(Touch(name)) for name in ("s", "free"))
    odd, fine = await asyncio.gather(*asked)
    assert odd is not None
    assert odd.agents_streaming == {AgentId.stored("no type", "a")}
    assert fine is not None
    async with race.held() as conn:
        await conn.execute(text("DELETE FROM session_router.agent_streams"))


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_batches_run_at_read_committed_whatever_the_databases_default_is(
    race: Race, isolation: str
) -> None:
    async with race.held() as conn:
        name = (await conn.execute(text("SELECT current_database()"))).scalar_one()
        await conn.execute(
            text(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
        )
    await race.repository.engine.dispose()  # the setting is that of new connections
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await conn.execute(
            text("SELECT 1 FROM session_router.workers WHERE worker_id = :id FOR UPDATE"),
            {"id": worker_id},
        )
        # Its snapshot, were it one for the whole batch, would be older than the touch below.
        registering = await race.blocked(race.register("s", worker_id))
        async with race.held() as other:
            await other.execute(text("UPDATE session_router.sessions SET last_updated = now()"))
    await within(registering)
    assert len(await race.repository.list_streams("s")) == 1
