"""Interrupts of many sessions: which streams are meant, and what became of a request."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.events import SignalOutcome
from session_router.repository.changes import StreamFilter
from session_router.repository.results import (
    UNDELIVERED_TOLD,
    MatchCount,
    Receipts,
    UndeliveredSignal,
)
from session_router.repository.sql import rows


async def count(conn: AsyncConnection, t: Tables, matching: StreamFilter) -> MatchCount:
    streams = t.agent_streams.c
    statement = select(
        func.count(streams.session_id.distinct()).label("sessions"),
        func.count().label("streams"),
    ).where(*_are_meant(t, matching, await rows.now(conn)))
    row = (await conn.execute(statement)).one()
    return MatchCount(row.sessions, row.streams)


async def sessions_with(
    conn: AsyncConnection, t: Tables, matching: StreamFilter, after: str | None, limit: int
) -> list[str]:
    """The sessions in which streams are meant, in the order of their ids, from behind `after`."""
    statement = page_of(t, matching, await rows.now(conn), after, limit)
    return list((await conn.execute(statement)).scalars())


def page_of(
    t: Tables, matching: StreamFilter, now: datetime, after: str | None, limit: int
) -> Select[str]:
    session_id = t.agent_streams.c.session_id
    statement = select(session_id).where(*_are_meant(t, matching, now))
    if after is not None:
        statement = statement.where(session_id > after)
    return statement.group_by(session_id).order_by(session_id).limit(limit)


async def receipts(conn: AsyncConnection, t: Tables, request_id: UUID) -> Receipts | None:
    """What became of a request so far.

    What is open is read before what is settled: what moves meanwhile is counted twice then, not
    lost; and it is taken from what is open.
    """
    open_ids = set((await conn.execute(open_signals(t, request_id))).scalars())
    told = (await conn.execute(told_of(t, request_id))).all()
    settled = [row for row in told if row.outcome is not None]
    open_ids -= {row.stream_id for row in settled}
    times = [row.started_at or row.occurred_at for row in told]
    if not (times or open_ids):
        return None
    by_outcome = dict.fromkeys(SignalOutcome, 0)
    for row in settled:
        by_outcome[SignalOutcome(row.outcome)] += 1
    failures = [row for row in settled if row.outcome != SignalOutcome.DELIVERED]
    return Receipts(
        request_id=request_id,
        requested_at=min(times),
        delivered=by_outcome[SignalOutcome.DELIVERED],
        failed=by_outcome[SignalOutcome.FAILED],
        lost=by_outcome[SignalOutcome.LOST],
        open=len(open_ids),
        undelivered=[UndeliveredSignal.of(row) for row in failures[:UNDELIVERED_TOLD]],
    )


def open_signals(t: Tables, request_id: UUID) -> Select[Any]:
    signals = t.interrupt_signals.c
    return select(signals.stream_id).where(signals.request_id == request_id)


def told_of(t: Tables, request_id: UUID) -> Select[Any]:
    """The events are named in the statement's text, by which the index of requests is found."""
    events = t.session_events
    return (
        select(
            events.c.occurred_at,
            events.c.started_at,
            events.c.session_id,
            events.c.agent_type,
            events.c.agent_key,
            events.c.stream_id,
            events.c.outcome,
            events.c.detail,
        )
        .where(
            events.c.request_id == request_id,
            text("event IN ('interrupt_requested', 'signal_settled')"),
        )
        .order_by(events.c.event_id)
    )


def _are_meant(t: Tables, matching: StreamFilter, now: datetime) -> Iterator[ColumnElement[bool]]:
    streams = t.agent_streams.c
    if matching.agent_type is not None:
        yield streams.agent_type == matching.agent_type
    if matching.worker_id is not None:
        yield streams.worker_id == matching.worker_id
    if matching.older_than is not None:
        yield streams.started_at < now - matching.older_than
