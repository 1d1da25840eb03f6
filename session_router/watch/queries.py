"""The statements: each reads a page, or counts up to a bound."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    func,
    literal,
    null,
    or_,
    select,
    text,
    tuple_,
)

from session_router.database.schema import Tables
from session_router.events import EventName, StreamOutcome
from session_router.repository.changes import OWN_TIMEOUTS, Sweep
from session_router.repository.records import Requester
from session_router.repository.sql.bulk import are_meant
from session_router.repository.sql.endings import idle
from session_router.repository.sql.events import lives_of
from session_router.repository.sql.sessions import end_of_prefix
from session_router.watch.records import Place, Wanted

MOST: Final = 100_000
"""Where counts end: more than that is many."""
PAGE: Final = 50
STOPS: Final = 50
WORKERS: Final = 200
EVENTS: Final = 100
_OF_SIGNAL: Final = (
    *("session_id", "session_uid", "agent_type", "agent_key", "stream_id", "worker_id"),
    "request_id",
)
TOLD_FOR: Final = timedelta(minutes=1)
"""For how long a stream that was stopped is listed with its receipt."""


def overview(
    t: Tables, owner: str | None, now: datetime, idle_for: timedelta, grace: timedelta
) -> Select[Any]:
    """All counts at once, of that owner's if one is given."""
    sessions, streams, signals = t.sessions.c, t.agent_streams.c, t.interrupt_signals.c
    mine = [] if owner is None else [sessions.owner == owner]
    owned = select(sessions.session_id).where(*mine)
    in_mine = [] if owner is None else [streams.session_id.in_(owned)]
    # Those of workers that were lost are there, too: until they are reaped they wait.
    waiting = select(signals.requested_at).where(*lives_of(t, signals.session_uid, owner))
    newest = select(t.audit_seals.c.sealed_at).order_by(t.audit_seals.c.seal_id.desc()).limit(1)
    verified = t.audit_verifications.c
    verifications = select(verified.verified_at).order_by(verified.verification_id.desc()).limit(1)
    oldest = waiting.limit(MOST).subquery()
    due = [_count(each.where(*mine)) for each in _due(t, now, idle_for, grace)]
    return select(
        _count(select(literal(1)).select_from(t.sessions).where(*mine)).label("sessions"),
        _count(select(literal(1)).select_from(t.agent_streams).where(*in_mine)).label("streams"),
        _count(select(literal(1)).select_from(t.workers)).label("workers"),
        _count(waiting).label("signals"),
        select(func.min(oldest.c.requested_at)).scalar_subquery().label("oldest_signal_at"),
        sum(due[1:], start=due[0]).label("expired"),
        verifications.scalar_subquery().label("verified_at"),
        verifications.with_only_columns(verified.violations).scalar_subquery().label("violations"),
        newest.scalar_subquery().label("sealed_at"),
    )


def _due(t: Tables, now: datetime, idle_for: timedelta, grace: timedelta) -> Iterator[Select[Any]]:
    """Those that a sweep would take now: with a timeout of their own, and without."""
    sweep = Sweep(idle_for + grace, grace, Requester(), MOST)
    yield idle(t, sweep, now - sweep.idle_for)
    own = Sweep(idle_for, grace, Requester(), MOST, OWN_TIMEOUTS)
    yield idle(t, own, now - grace)


def _count(rows: Select[Any]) -> ColumnElement[int]:
    return select(func.count()).select_from(rows.limit(MOST).subquery()).scalar_subquery()


def streams(
    t: Tables, wanted: Wanted, now: datetime, after: Place | None, limit: int
) -> Select[Any]:
    """A page of live streams, the oldest first, and one more where others follow."""
    c = t.agent_streams.c
    page = select(t.agent_streams).where(
        *are_meant(t, wanted.matching, now),
        *_begin_with(c.session_id, wanted.prefix),
        *_contain(t.agent_streams, wanted.part),
    )
    if after is not None:
        place = tuple_(literal(after.started_at, c.started_at.type), after.stream_id)
        page = page.where(tuple_(c.started_at, c.stream_id) > place)
    found = page.order_by(c.started_at, c.stream_id).limit(limit + 1).subquery()
    sessions = t.sessions.c
    of = select(sessions.owner).where(sessions.session_id == found.c.session_id)
    touched = of.with_only_columns(sessions.last_updated).scalar_subquery()
    return select(found, of.scalar_subquery().label("owner"), touched.label("touched_at")).order_by(
        found.c.started_at, found.c.stream_id
    )


def settled(t: Tables, wanted: Wanted, now: datetime) -> Select[Any]:
    """The newest stops that were settled within the last minute."""
    e = t.session_events.alias("e")
    page = (
        select(
            *(e.c[name] for name in (*_OF_SIGNAL, "event_id", "outcome", "detail")),
            e.c.started_at.label("requested_at"),
            e.c.occurred_at.label("settled_at"),
        )
        # In the statement's text, by which the index is found.
        .where(text("e.event = 'signal_settled'"), e.c.started_at > now - TOLD_FOR)
        .where(*_are_wanted(t, e, wanted))
        .order_by(e.c.started_at.desc())
        .limit(STOPS)
        .subquery()
    )
    return select(page, *_of_story(t, page))


def unsettled(t: Tables, wanted: Wanted) -> Select[Any]:
    """The stops that have been open for longest."""
    s = t.interrupt_signals
    nothing = (null().label(name) for name in ("settled_at", "outcome", "detail"))
    page = (
        select(*(s.c[name] for name in _OF_SIGNAL), s.c.requested_at, *nothing)
        .where(*_are_wanted(t, s, wanted))
        .order_by(s.c.requested_at)
        .limit(STOPS)
        .subquery()
    )
    return select(page, *_of_story(t, page))


def _of_story(t: Tables, page: FromClause) -> Iterator[ColumnElement[Any]]:
    """What the session's story tells of a signal: when its stream began, and who asked for its end.

    That stands just before the settling. The event is told by LIKE, which no partial index is for:
    those of requests and of all finished streams lead past thousands of others here.
    """
    for label, column, event, key in (
        ("began_at", "started_at", EventName.STREAM_FINISHED, "stream_id"),
        ("asked_at", "occurred_at", EventName.INTERRUPT_REQUESTED, "request_id"),
        ("actor", "actor", EventName.INTERRUPT_REQUESTED, "request_id"),
        ("reason", "detail", EventName.INTERRUPT_REQUESTED, "request_id"),
    ):
        x = t.session_events.alias(f"of_{label}")
        found = select(x.c[column]).where(
            x.c.session_id == page.c.session_id, x.c[key] == page.c[key], x.c.event.like(event)
        )
        if "event_id" in page.c:
            found = found.where(x.c.event_id < page.c.event_id)
        yield found.order_by(x.c.event_id.desc()).limit(1).scalar_subquery().label(label)


def _are_wanted(t: Tables, signal: FromClause, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    of, meant = signal.c, wanted.matching
    yield from lives_of(t, of.session_uid, meant.owner)
    yield from _begin_with(of.session_id, wanted.prefix)
    yield from _contain(signal, wanted.part)
    if meant.agent_type is not None:
        yield of.agent_type == meant.agent_type
    if meant.worker_id is not None:
        yield of.worker_id == meant.worker_id


def _begin_with(session_id: ColumnElement[str], prefix: str) -> Iterator[ColumnElement[bool]]:
    if prefix:
        yield session_id >= prefix
        if (end := end_of_prefix(prefix)) is not None:
            yield session_id < end


def _contain(rows: FromClause, part: str) -> Iterator[ColumnElement[bool]]:
    """Those whose session or agent has this in it, in letters of either case."""
    if part:
        agent = rows.c.agent_type + "/" + rows.c.agent_key
        yield or_(*(name.icontains(part, autoescape=True) for name in (rows.c.session_id, agent)))


def deliveries(t: Tables) -> Select[int, int]:
    """How many deliveries of hooks are owed, and how many were given up."""
    dead_at = t.hook_deliveries.c.dead_at
    every = select(literal(1)).select_from(t.hook_deliveries)
    return select(
        _count(every.where(dead_at.is_(None))).label("owed"),
        _count(every.where(dead_at.is_not(None))).label("dead"),
    )


def workers(t: Tables) -> Select[Any]:
    """The workers, the oldest first, each with the number of its streams."""
    streams = t.agent_streams.c
    theirs = select(func.count()).where(streams.worker_id == t.workers.c.worker_id)
    return (
        select(t.workers, theirs.scalar_subquery().label("streams"))
        .order_by(t.workers.c.started_at, t.workers.c.worker_id)
        .limit(WORKERS)
    )


def lost_workers(t: Tables, since: datetime) -> Select[Any]:
    """The workers with which streams were lost since then, the last one first."""
    e = t.session_events.c
    noticed_at = func.max(e.occurred_at, type_=e.occurred_at.type)
    return (
        select(e.worker_id, func.count().label("streams"), noticed_at.label("noticed_at"))
        .where(e.occurred_at > since, e.outcome == StreamOutcome.WORKER_LOST)
        .group_by(e.worker_id)
        .order_by(noticed_at.desc())
        .limit(PAGE)
    )


def story(t: Tables, session_id: str, owner: str | None, before: int | None) -> Select[Any]:
    """The newest events of a session id, or those before one; one more where others precede."""
    e = t.session_events.c
    found = select(t.session_events).where(
        e.session_id == session_id, *lives_of(t, e.session_uid, owner)
    )
    if before is not None:
        found = found.where(e.event_id < before)
    return found.order_by(e.event_id.desc()).limit(EVENTS + 1)
