"""The ends of sessions: ended, replaced, expired; each stops the session's streams."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import one_of
from session_router.events import EventName
from session_router.repository import trail
from session_router.repository.changes import Start, Stop
from session_router.repository.records import Requester, SessionRow, Signal, StreamRow
from session_router.repository.results import StopRequest, SweepBatch, SweepPosition
from session_router.repository.sql import repetitions, requests, rows, sessions, streams
from session_router.session import Session


async def end(conn: AsyncConnection, t: Tables, asked: Stop) -> StopRequest | None:
    session = await sessions.lock(conn, t, asked.session_id)
    if session is None:
        return None
    request = await _finish_one(conn, t, session, EventName.SESSION_ENDED, asked)
    await conn.execute(delete(t.sessions).where(t.sessions.c.session_id == asked.session_id))
    return request


async def replace(conn: AsyncConnection, t: Tables, asked: Start) -> tuple[Session, StopRequest]:
    """Finish a live session and begin its next life in the same row, which stays locked."""
    return await requests.once(conn, t, asked, _replace, repetitions.replacement)


async def _replace(conn: AsyncConnection, t: Tables, asked: Start) -> tuple[Session, StopRequest]:
    session, is_new = await sessions.lock_or_create(conn, t, asked)
    stop = Stop(asked.session_id, asked.requester, request_id=asked.request_id or uuid4())
    if is_new:
        return await sessions.snapshot(conn, t, session), StopRequest(stop.request_id)
    request = await _finish_one(conn, t, session, EventName.SESSION_REPLACED, stop)
    statement = (
        update(t.sessions)
        .values(sessions.new_life(asked))
        .where(t.sessions.c.session_id == asked.session_id)
        .returning(t.sessions)
    )
    fresh = rows.session_row((await conn.execute(statement)).one())
    worker_id = asked.requester.worker_id
    started = trail.session_started(fresh, fresh.start_time, worker_id, asked.request_id)
    await rows.record(conn, t, [started])
    return await sessions.snapshot(conn, t, fresh), request


async def expire(
    conn: AsyncConnection,
    t: Tables,
    idle_for: timedelta,
    requester: Requester,
    limit: int,
    after: SweepPosition | None,
) -> SweepBatch:
    """Delete one batch of idle sessions, on SQLite, where nobody else writes meanwhile.

    The predicate stands again on the deletion.
    """
    cutoff = await rows.now(conn) - idle_for
    batch = await _idle(conn, t, cutoff, limit, after)
    if not batch:
        return SweepBatch(0, 0, [], None)
    stopped, signals = await _finish(
        conn, t, batch, EventName.SESSION_EXPIRED, requester, request_id=uuid4()
    )
    await conn.execute(
        delete(t.sessions)
        .where(one_of(t.sessions.c.session_id, [session.session_id for session in batch]))
        .where(t.sessions.c.last_updated < cutoff)
    )
    last = SweepPosition(batch[-1].last_updated, batch[-1].session_id)
    return SweepBatch(len(batch), len(stopped), signals, last if len(batch) == limit else None)


async def _idle(
    conn: AsyncConnection,
    t: Tables,
    cutoff: datetime,
    limit: int,
    after: SweepPosition | None,
) -> list[SessionRow]:
    columns = t.sessions.c
    statement = (
        select(t.sessions)
        .where(columns.last_updated < cutoff)
        .order_by(columns.last_updated, columns.session_id)
    )
    if after is not None:
        behind = tuple_(columns.last_updated, columns.session_id) > tuple_(
            after.last_updated, after.session_id
        )
        statement = statement.where(behind)
    more = 0
    while True:
        found = await conn.execute(statement.limit(limit + more))
        readable, passed_over = rows.readable_and_others(found, rows.session_row)
        if passed_over <= more:
            return readable[:limit]
        more = passed_over  # lest those that stay for ever be all that a batch finds


async def _finish_one(
    conn: AsyncConnection, t: Tables, session: SessionRow, event: EventName, asked: Stop
) -> StopRequest:
    stopped, signals = await _finish(conn, t, [session], event, asked.requester, asked.request_id)
    return StopRequest(asked.request_id, stopped, signals)


async def _finish(
    conn: AsyncConnection,
    t: Tables,
    ending: Sequence[SessionRow],
    event: EventName,
    requester: Requester,
    request_id: UUID,
) -> tuple[list[StreamRow], list[Signal]]:
    """Stop the streams of sessions whose rows are locked, and write the terminal events."""
    session_ids = [session.session_id for session in ending]
    stopped, now = await rows.lock_streams_at(conn, t, session_ids)
    events, signals = trail.endings(ending, stopped, now, event, requester, request_id)
    await streams.take_out(conn, t, stopped, events, signals)
    await rows.delete_unreadable_streams(conn, t, session_ids)
    return stopped, signals
