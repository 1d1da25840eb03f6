"""What a request did that is repeated, as far as the trail tells."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.events import EventName
from session_router.repository.changes import Start, Stop, StopStream
from session_router.repository.records import ANYBODYS, StreamRow
from session_router.repository.results import Found, StopRequest, StreamInterrupt
from session_router.repository.sql import bulk, names, rows, sessions
from session_router.repository.sql.events import lives_of
from session_router.repository.sql.requests import kept
from session_router.session import Session, stored


async def stop(conn: AsyncConnection, t: Tables, asked: Stop) -> StopRequest:
    """The streams that it stopped; their signals are on their way, or settled."""
    return StopRequest(asked.request_id, await _stopped(conn, t, asked))


async def stream_stop(conn: AsyncConnection, t: Tables, asked: StopStream) -> StreamInterrupt:
    """What it found. A stop that came ahead is kept, or was told when its stream began."""
    events, stops = t.session_events.c, t.early_stops.c
    is_ahead = select(stops.request_id).where(
        stops.stream_id == asked.stream_id,
        stops.session_id == asked.session_id,
        stops.owner == (asked.owner or ANYBODYS),
    )
    if (held := (await conn.execute(is_ahead)).scalar_one_or_none()) is not None:
        return StreamInterrupt(Found.AHEAD, held)
    requested = (await conn.execute(bulk.requested(t, asked.request_id, events.started_at))).first()
    stopped = await _stopped(conn, t, asked)
    if requested is not None and requested.started_at is not None:
        return StreamInterrupt(Found.AHEAD, asked.request_id)
    if stopped:
        return StreamInterrupt(Found.LIVE, asked.request_id, stopped[0].agent_id)
    beginning = await names.beginning_of(conn, t, asked.stream_id, asked.owner)
    if requested is None and beginning is None:
        return StreamInterrupt(Found.AHEAD, asked.request_id)
    agent_id = names.agent_of(beginning, asked.session_id)
    return StreamInterrupt(Found.OVER, asked.request_id, agent_id)


async def replacement(
    conn: AsyncConnection, t: Tables, asked: Start
) -> tuple[Session, StopRequest]:
    """The session that it began: as it is, or, where that life is over, as it was then."""
    assert asked.request_id is not None
    request = StopRequest(asked.request_id)
    started = (await conn.execute(started_by(t, asked))).first()
    live = await sessions.lock(conn, t, asked.session_id)
    if started is not None and live is not None and live.session_uid == started.session_uid:
        return await sessions.snapshot(conn, t, live), request
    requested_at = (await conn.execute(kept(t, asked.request_id))).one().requested_at
    moment = requested_at if started is None else started.occurred_at
    columns = asked.columns | {"start_time": moment, "last_updated": moment}
    return stored(columns, set()), request


def started_by(t: Tables, asked: Start) -> Select[Any]:
    """The event of the life that a request began; the newest are looked at first."""
    events = t.session_events.c
    return (
        select(events.session_uid, events.occurred_at)
        .where(events.session_id == asked.session_id, events.request_id == asked.request_id)
        .where(events.event == EventName.SESSION_STARTED)
        .order_by(events.event_id.desc())
        .limit(1)
    )


def stopped_by(t: Tables, asked: Stop | StopStream) -> Select[Any]:
    """The ends of streams that a request stopped: they follow the event of the request.

    Said without `event = 'stream_finished'`: the index for that is of all sessions together. Only
    those are told that were the asker's, though somebody's else were stopped under this name.
    """
    events = t.session_events.c
    since = bulk.requested(t, asked.request_id, func.min(events.event_id)).scalar_subquery()
    return (
        select(t.session_events)
        .where(events.session_id == asked.session_id, events.event_id > since)
        .where(events.request_id == asked.request_id)
        .where(events.outcome.is_not(None), events.event != EventName.SIGNAL_SETTLED)
        .where(*lives_of(t, events.session_uid, asked.owner))
        .order_by(events.agent_type, events.agent_key)
    )


async def _stopped(conn: AsyncConnection, t: Tables, asked: Stop | StopStream) -> list[StreamRow]:
    return rows.readable(await conn.execute(stopped_by(t, asked)), rows.stream_row)
