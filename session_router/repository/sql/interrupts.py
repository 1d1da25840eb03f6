"""Interrupts: of a session's streams, and of one stream, before it begins, too."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, delete, insert, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.repository import trail
from session_router.repository.changes import Stop, StopStream
from session_router.repository.records import EarlyStop, Signal, columns_of
from session_router.repository.results import Found, StopRequest, StreamInterrupt
from session_router.repository.sql import names, repetitions, requests, rows, sessions, streams


async def interrupt(conn: AsyncConnection, t: Tables, asked: Stop) -> StopRequest | None:
    """Take a session's streams, or those that are meant, out, with a signal for each."""
    return await requests.once(conn, t, asked, _interrupt, repetitions.stop)


async def _interrupt(conn: AsyncConnection, t: Tables, asked: Stop) -> StopRequest | None:
    session = await sessions.lock_for(conn, t, asked)
    if session is None:
        return None
    locked, now = await rows.lock_streams_at(conn, t, [asked.session_id])
    stopped = [stream for stream in locked if asked.is_for(stream, now)]
    if asked.matching is not None and not stopped:
        return StopRequest(asked.request_id)
    events, signals = trail.interrupt(session, stopped, now, asked.requester, asked.request_id)
    await streams.take_out(conn, t, stopped, events, signals)
    return StopRequest(asked.request_id, stopped, signals)


async def interrupt_stream(conn: AsyncConnection, t: Tables, asked: StopStream) -> StreamInterrupt:
    """Take this stream out, or keep the stop for its registration."""
    return await requests.once(conn, t, asked, _interrupt_stream, repetitions.stream_stop)


async def _interrupt_stream(conn: AsyncConnection, t: Tables, asked: StopStream) -> StreamInterrupt:
    session_id, stream_id, requester = asked.session_id, asked.stream_id, asked.requester
    await names.hold(conn, stream_id)
    session = await sessions.lock_for(conn, t, asked)
    is_meant = t.agent_streams.c.stream_id == stream_id
    locked, now = await rows.lock_streams_at(conn, t, [session_id], is_meant)
    request_id = asked.request_id
    beginning = None if locked else await names.beginning_of(conn, t, stream_id, asked.owner)
    if not locked and beginning is None:
        stop = EarlyStop.of(stream_id, asked.owner, session_id, request_id, now, requester)
        return await _keep(conn, t, stop, asked.early_stop)
    signals: list[Signal] = []
    if session is not None:
        events, signals = trail.interrupt(
            session, locked, now, requester, request_id, only=stream_id
        )
        await streams.take_out(conn, t, locked, events, signals)
    if locked:
        return StreamInterrupt(Found.LIVE, request_id, locked[0].agent_id, signals)
    return StreamInterrupt(Found.OVER, request_id, names.agent_of(beginning, session_id))


async def clear_early_stops(
    conn: AsyncConnection, t: Tables, older_than: timedelta, limit: int
) -> int:
    """Delete the oldest stops, those that others hold excepted."""
    cutoff = await rows.now(conn) - older_than
    old = oldest(t, cutoff, limit).with_for_update(skip_locked=True).cte("old")
    key = tuple_(*t.early_stops.primary_key.columns)
    cleared = delete(t.early_stops).where(key.in_(select(old))).returning(literal(1))
    return len((await conn.execute(cleared)).all())


def oldest(t: Tables, cutoff: datetime, limit: int) -> Select[Any]:
    stops = t.early_stops.c
    return (
        select(*t.early_stops.primary_key.columns)
        .where(stops.requested_at < cutoff)
        .order_by(stops.requested_at)
        .limit(limit)
    )


async def _keep(
    conn: AsyncConnection, t: Tables, stop: EarlyStop, early_stop: timedelta
) -> StreamInterrupt:
    """Keep a stop of a stream that has not begun; of each owner's the first holds."""
    stops = t.early_stops.c
    is_this = and_(stops.stream_id == stop.stream_id, stops.owner == stop.owner)
    kept = (await conn.execute(select(t.early_stops).where(is_this))).one_or_none()
    if kept is not None and kept.requested_at > stop.requested_at - early_stop:
        return StreamInterrupt(Found.AHEAD, kept.request_id)
    await conn.execute(delete(t.early_stops).where(is_this))
    await conn.execute(insert(t.early_stops).values(columns_of(stop)))
    return StreamInterrupt(Found.AHEAD, stop.request_id)
