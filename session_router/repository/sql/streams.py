"""Stream rows: register and finish."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.errors import StreamExistsError
from session_router.events import EventName, StreamOutcome
from session_router.repository import trail
from session_router.repository.changes import Finish, Register, WhenBusy
from session_router.repository.records import (
    EarlyStop,
    EventRow,
    Signal,
    StreamRow,
    askers_for,
    first_that_holds,
)
from session_router.repository.results import Registration, StopRequest
from session_router.repository.sql import names, rows, sessions
from session_router.repository.sql import signals as outbox


async def register(conn: AsyncConnection, t: Tables, asked: Register) -> Registration:
    """Mark an agent as streaming: fence the worker, lock the session, then read and write.

    The touch locks the session's row, so of two takeovers of one stream the second sees what
    the first one made, and whoever ends the session waits, then sees this stream.
    """
    session_id, agent_id, worker_id = asked.session_id, asked.agent_id, asked.worker_id
    if asked.is_named:
        await names.share(conn, asked.stream_id)
    await rows.fence(conn, t, worker_id)
    session = await sessions.start(conn, t, asked.start)
    in_the_way = await _in_the_way(conn, t, asked)
    for stream in in_the_way:
        if asked.is_repetition_of(stream):
            return Registration(stream.stream_id, timeout_minutes=session.timeout_minutes)
    stop = await _early_stop_of(conn, t, asked, session.owner) if asked.is_named else None
    now = await rows.now(conn)
    stream = StreamRow(session_id, agent_id, asked.stream_id, worker_id, now)
    if stop is not None:
        await rows.record(conn, t, trail.stopped_registration(stream, session, stop, asked.actor))
        return Registration(asked.stream_id, is_stopped=True)
    asked.check_free(in_the_way)
    request_id, interrupts = uuid4(), asked.when_busy is WhenBusy.INTERRUPT
    events, signals = trail.registration(
        stream, session, in_the_way, request_id, actor=asked.actor, interrupts=interrupts
    )
    await take_out(conn, t, in_the_way, events, signals)
    await rows.insert_stream(conn, t, stream)
    return Registration.of(asked, session, StopRequest(request_id, in_the_way, signals))


async def finish(conn: AsyncConnection, t: Tables, asked: Finish) -> UUID | None:
    """End one stream without its session's lock, but where that has to be a certain owner's.

    The deletion finds the row or does not: whoever stops the session's streams meanwhile locks
    that same row, and one of the two writes the end. While it is held, the session lives on
    under its `session_uid`, since nothing can end it but by way of this row.
    """
    if asked.owner is not None and await sessions.lock_for(conn, t, asked) is None:
        return None
    streams = t.agent_streams
    statement = (
        delete(streams)
        .where(streams.c.session_id == asked.session_id, rows.is_agent(t, asked.agent_id))
        .returning(streams)
    )
    if asked.stream_id:
        statement = statement.where(streams.c.stream_id == asked.stream_id)
    if asked.is_fenced or not asked.stream_id:
        statement = statement.where(streams.c.worker_id == asked.worker_id)
    row = (await conn.execute(statement)).one_or_none()
    if row is None:
        return None
    stream = rows.stream_row(row)
    uids = await rows.session_uids(conn, t, [asked.session_id])
    await record_finished(conn, t, [stream], uids, asked.outcome, asked.detail)
    return stream.stream_id


async def finish_fenced(conn: AsyncConnection, t: Tables, asked: Finish) -> UUID | None:
    """The same, of a worker that must be there, and must own the stream.

    Raises:
        WorkerNotFoundError: the worker has no row.
    """
    assert asked.worker_id is not None
    await rows.fence(conn, t, asked.worker_id)
    return await finish(conn, t, asked)


async def listed(
    conn: AsyncConnection, t: Tables, session_id: str, owner: str | None
) -> list[StreamRow]:
    """Who streams in a session, that owner's if one is given, in key order."""
    streams, owned = t.agent_streams, t.sessions.c
    statement = (
        select(streams)
        .where(streams.c.session_id == session_id)
        .order_by(*streams.primary_key.columns)
    )
    if owner is not None:
        statement = statement.where(
            exists().where(owned.session_id == streams.c.session_id, owned.owner == owner)
        )
    return rows.readable(await conn.execute(statement), rows.stream_row)


async def outcome(
    conn: AsyncConnection, t: Tables, session_id: str, stream_id: UUID
) -> StreamOutcome | None:
    """How a stream ended by the trail, whose newest events of the session are looked at first."""
    found = (await conn.execute(outcome_of(t, session_id, stream_id))).scalar_one_or_none()
    return None if found is None else StreamOutcome(found)


def outcome_of(t: Tables, session_id: str, stream_id: UUID) -> Select[str]:
    """Said without `event = 'stream_finished'`: the index for that is of all sessions together."""
    events = t.session_events.c
    return (
        select(events.outcome)
        .where(
            events.session_id == session_id,
            events.stream_id == stream_id,
            events.outcome.is_not(None),
            events.event != EventName.SIGNAL_SETTLED,
        )
        .order_by(events.event_id.desc())
        .limit(1)
    )


async def take_out(
    conn: AsyncConnection,
    t: Tables,
    streams: Collection[StreamRow],
    events: Sequence[EventRow],
    signals: Sequence[Signal],
) -> None:
    """Delete streams that the caller has locked, with what is to be written of it."""
    await rows.delete_streams(conn, t, streams)
    await rows.record(conn, t, events)
    await outbox.put(conn, t, signals)


async def record_finished(
    conn: AsyncConnection,
    t: Tables,
    streams: Collection[StreamRow],
    uids: Mapping[str, UUID],
    outcome: StreamOutcome,
    detail: str | None = None,
) -> None:
    """Write the end of streams that the caller has deleted, and that need no signal.

    Args:
        uids: those of the streams' sessions.
    """
    now = await rows.now(conn)
    events = [
        trail.stream_finished(stream, uids[stream.session_id], now, outcome, detail=detail)
        for stream in streams
    ]
    await rows.record(conn, t, events)


async def _in_the_way(conn: AsyncConnection, t: Tables, asked: Register) -> list[StreamRow]:
    """Lock the session's streams, or the agent's, before which this one cannot begin."""
    only = () if asked.alone else (rows.is_agent(t, asked.agent_id),)
    return await rows.lock_streams(conn, t, [asked.session_id], *only)


async def _early_stop_of(
    conn: AsyncConnection, t: Tables, asked: Register, owner: str | None
) -> EarlyStop | None:
    """Take the stop that came before the stream, if one did, and the name is new.

    Those of other owners than the session's are left, for the sweep.

    Raises:
        StreamExistsError: it is not.
    """
    if await names.beginning_of(conn, t, asked.stream_id) is not None:
        raise StreamExistsError.of(asked.stream_id)
    stops = t.early_stops
    statement = (
        delete(stops)
        .where(stops.c.stream_id == asked.stream_id, stops.c.session_id == asked.session_id)
        .where(stops.c.owner.in_(askers_for(owner)))
        .returning(stops)
    )
    found = (await conn.execute(statement)).all()
    if not found:
        return None
    since = await rows.now(conn) - asked.early_stop
    return first_that_holds((EarlyStop(**row._mapping) for row in found), since)
