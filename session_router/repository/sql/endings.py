"""The ends of sessions: ended, replaced, expired; each stops the session's streams."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, Select, delete, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import expiry, one_of
from session_router.events import EventName
from session_router.repository import trail
from session_router.repository.changes import Start, Stop, Sweep
from session_router.repository.records import Requester, SessionRow, Signal, StreamRow
from session_router.repository.results import StopRequest, SweepBatch
from session_router.repository.sql import repetitions, requests, rows, sessions, streams
from session_router.session import Session


async def end(conn: AsyncConnection, t: Tables, asked: Stop) -> StopRequest | None:
    session = await sessions.lock_for(conn, t, asked)
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
        .values(sessions.new_life(asked, await rows.now(conn)))
        .where(t.sessions.c.session_id == asked.session_id)
        .returning(t.sessions)
    )
    fresh = rows.session_row((await conn.execute(statement)).one())
    await rows.record(conn, t, [trail.session_started(fresh, asked.requester, asked.request_id)])
    return await sessions.snapshot(conn, t, fresh), request


async def expire(conn: AsyncConnection, t: Tables, asked: Sweep) -> SweepBatch:
    """Delete one batch of idle sessions, on SQLite, where nobody else writes meanwhile.

    The predicate stands again on the deletion.
    """
    cutoff = await rows.now(conn) - (asked.grace if asked.is_of_own else asked.idle_for)
    batch = await _idle(conn, t, asked, cutoff)
    if not batch:
        return SweepBatch(0, 0, [], asked.end)
    sessions = [session for session, _ in batch]
    stopped, signals = await _finish(
        conn, t, sessions, EventName.SESSION_EXPIRED, asked.requester, request_id=uuid4()
    )
    await conn.execute(
        delete(t.sessions)
        .where(one_of(t.sessions.c.session_id, [session.session_id for session in sessions]))
        .where(_swept_by(t, asked) < cutoff)
    )
    last, moment = batch[-1]
    position = asked.position(len(batch), moment, last.session_id)
    return SweepBatch(len(batch), len(stopped), signals, position)


async def _idle(
    conn: AsyncConnection, t: Tables, asked: Sweep, cutoff: datetime
) -> list[tuple[SessionRow, datetime]]:
    """Sessions, each with the moment that it is swept by."""
    statement = idle(t, asked, cutoff)
    more = 0
    while True:
        found = await conn.execute(statement.limit(asked.limit + more))
        readable, passed_over = rows.readable_and_others(found, _with_its_moment)
        if passed_over <= more:
            return readable[: asked.limit]
        more = passed_over  # lest those that stay for ever be all that a batch finds


def idle(t: Tables, asked: Sweep, cutoff: datetime) -> Select[Any]:
    """Sessions that are swept by a moment before `cutoff`, which comes last, in their order."""
    columns, moment = t.sessions.c, _swept_by(t, asked)
    # In the statement's text, by which the index is found.
    which = "timeout_minutes IS NOT NULL" if asked.is_of_own else "timeout_minutes IS NULL"
    statement = (
        select(t.sessions, moment.label("moment"))
        .where(text(which), moment < cutoff)
        .order_by(moment, columns.session_id)
    )
    if asked.after is not None and asked.after.moment is not None:
        behind = tuple_(asked.after.moment, asked.after.session_id)
        statement = statement.where(tuple_(moment, columns.session_id) > behind)
    return statement


def _swept_by(t: Tables, asked: Sweep) -> ColumnElement[datetime]:
    columns = t.sessions.c
    if asked.is_of_own:
        return cast(
            "ColumnElement[datetime]", expiry(columns.last_updated, columns.timeout_minutes)
        )
    return columns.last_updated


def _with_its_moment(row: Row[Any]) -> tuple[SessionRow, datetime]:
    columns = dict(row._mapping)
    moment = columns.pop("moment")
    return SessionRow(**columns), moment


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
