"""Interrupts of many sessions: which streams are meant, and what became of a request."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.events import EventName, SignalOutcome
from session_router.repository.changes import StreamFilter
from session_router.repository.results import (
    UNDELIVERED_TOLD,
    MatchCount,
    Receipts,
    UndeliveredSignal,
)
from session_router.repository.sql import rows
from session_router.repository.sql.events import lives_of

_OPEN: Final = "open"


async def count(conn: AsyncConnection, t: Tables, matching: StreamFilter) -> MatchCount:
    streams = t.agent_streams.c
    statement = select(
        func.count(streams.session_id.distinct()).label("sessions"),
        func.count().label("streams"),
    ).where(*are_meant(t, matching, await rows.now(conn)))
    row = (await conn.execute(statement)).one()
    return MatchCount(row.sessions, row.streams)


async def interrupted(
    conn: AsyncConnection, t: Tables, request_id: UUID, owner: str | None
) -> MatchCount:
    """How many streams a request has told to stop, and in how many sessions; as in `receipts`."""
    session_id = t.session_events.c.session_id
    in_sessions = requested(t, request_id, func.count(session_id.distinct()), owner=owner)
    found = await receipts(conn, t, request_id, owner)
    told = 0 if found is None else found.delivered + found.failed + found.lost + found.open
    return MatchCount((await conn.execute(in_sessions)).scalar_one(), told)


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
    statement = select(session_id).where(*are_meant(t, matching, now))
    if after is not None:
        statement = statement.where(session_id > after)
    return statement.group_by(session_id).order_by(session_id).limit(limit)


async def receipts(
    conn: AsyncConnection, t: Tables, request_id: UUID, owner: str | None
) -> Receipts | None:
    """What became of a request so far, in that owner's sessions if one is given."""
    told = (await conn.execute(counts_of(t, request_id, owner))).all()
    times = [row.asked_at for row in told if row.asked_at is not None]
    if not times:
        return None
    counts = {row.outcome: row.signals for row in told}
    undelivered: list[UndeliveredSignal] = []
    if counts.keys() & {SignalOutcome.FAILED, SignalOutcome.LOST}:
        failures = await conn.execute(failures_of(t, request_id, owner))
        undelivered = [UndeliveredSignal.of(row) for row in failures]
    return Receipts(
        request_id=request_id,
        requested_at=min(times),
        delivered=counts.get(SignalOutcome.DELIVERED, 0),
        failed=counts.get(SignalOutcome.FAILED, 0),
        lost=counts.get(SignalOutcome.LOST, 0),
        open=counts[_OPEN],
        undelivered=undelivered,
    )


def counts_of(t: Tables, request_id: UUID, owner: str | None = None) -> CompoundSelect[Any]:
    """How many signals are open or settled, in one statement, for they move from here to there."""
    events, signals = t.session_events.c, t.interrupt_signals.c
    settled = (
        select(
            events.outcome.label("outcome"),
            func.count().label("signals"),
            func.min(func.coalesce(events.started_at, events.occurred_at)).label("asked_at"),
        )
        .where(_are_told_of(t, request_id), *lives_of(t, events.session_uid, owner))
        .group_by(events.outcome)
    )
    still_open = select(literal(_OPEN), func.count(), func.min(signals.requested_at)).where(
        signals.request_id == request_id, *lives_of(t, signals.session_uid, owner)
    )
    return settled.union_all(still_open)


def requested(
    t: Tables, request_id: UUID, *columns: ColumnElement[Any], owner: str | None = None
) -> Select[Any]:
    """Of the events that tell that an interrupt was asked for, one a session."""
    events = t.session_events.c
    return select(*columns).where(
        _are_told_of(t, request_id),
        events.event == EventName.INTERRUPT_REQUESTED,
        *lives_of(t, events.session_uid, owner),
    )


def failures_of(t: Tables, request_id: UUID, owner: str | None = None) -> Select[Any]:
    events = t.session_events.c
    return (
        select(
            events.session_id,
            events.agent_type,
            events.agent_key,
            events.stream_id,
            events.outcome,
            events.detail,
        )
        .where(_are_told_of(t, request_id), events.outcome != SignalOutcome.DELIVERED)
        .where(*lives_of(t, events.session_uid, owner))
        .order_by(events.event_id)
        .limit(UNDELIVERED_TOLD)
    )


def _are_told_of(t: Tables, request_id: UUID) -> ColumnElement[bool]:
    """The events are named in the statement's text, by which the index of requests is found."""
    return and_(
        t.session_events.c.request_id == request_id,
        text("event IN ('interrupt_requested', 'signal_settled')"),
    )


def are_meant(t: Tables, matching: StreamFilter, now: datetime) -> Iterator[ColumnElement[bool]]:
    streams = t.agent_streams.c
    if matching.owner is not None:
        sessions = t.sessions.c
        owned = select(sessions.session_id).where(sessions.owner == matching.owner)
        yield streams.session_id.in_(owned)
    if matching.agent_type is not None:
        yield streams.agent_type == matching.agent_type
    if matching.worker_id is not None:
        yield streams.worker_id == matching.worker_id
    if matching.older_than is not None:
        yield streams.started_at < now - matching.older_than
