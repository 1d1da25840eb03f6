"""The conservation laws, checked over everything that a repository holds."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from session_router import InMemorySessionRepository, SessionRepository, SQLAlchemySessionRepository
from session_router.database.pool import apart_from_pool
from session_router.events import SIGNALLED_OUTCOMES, EventName, SessionEvent

_SESSION_ENDS = {
    EventName.SESSION_ENDED,
    EventName.SESSION_EXPIRED,
    EventName.SESSION_REPLACED,
}


@dataclass(frozen=True)
class Contents:
    """All rows of a repository: ids of live sessions and streams, signals' streams, events."""

    session_uids: list[UUID]
    stream_ids: list[UUID]
    signalled_stream_ids: list[UUID]
    events: list[SessionEvent]


async def contents(repository: SessionRepository) -> Contents:
    """Read everything, in one transaction."""
    if isinstance(repository, InMemorySessionRepository):
        return Contents(
            session_uids=[row.session_uid for row in repository._sessions.values()],
            stream_ids=[
                stream.stream_id
                for streams in repository._streams.values()
                for stream in streams.values()
            ],
            signalled_stream_ids=[s.stream_id for s in repository._signals.values()],
            events=list(repository._events),
        )
    assert isinstance(repository, SQLAlchemySessionRepository)
    if repository.engine.dialect.name == "sqlite":
        return await repository._transactions.read(lambda conn: _read(conn, repository._tables))
    # On a connection of its own: the pool may still hold what an outage has cut.
    apart = apart_from_pool(repository.engine)
    one_moment = apart.execution_options(isolation_level="REPEATABLE READ")
    try:
        async with one_moment.connect() as conn:
            return await _read(conn, repository._tables)
    finally:
        await apart.dispose()


async def _read(conn: Any, t: Any) -> Contents:
    events = await conn.execute(select(t.session_events).order_by(t.session_events.c.event_id))
    return Contents(
        session_uids=list((await conn.execute(select(t.sessions.c.session_uid))).scalars()),
        stream_ids=list((await conn.execute(select(t.agent_streams.c.stream_id))).scalars()),
        signalled_stream_ids=list(
            (await conn.execute(select(t.interrupt_signals.c.stream_id))).scalars()
        ),
        events=[SessionEvent(**row._mapping) for row in events],
    )


async def violations(repository: SessionRepository) -> list[str]:
    """Every breach of the conservation laws, a sentence each."""
    held = await contents(repository)
    return [*_law_1(held), *_law_2(held), *_law_3(held), *_durations(held)]


def _law_1(held: Contents) -> list[str]:
    """Per stream: one start; then a live row or one end, never both, never neither."""
    started = Counter(e.stream_id for e in held.events if e.event is EventName.STREAM_STARTED)
    finished = Counter(e.stream_id for e in held.events if e.event is EventName.STREAM_FINISHED)
    live: Counter[UUID | None] = Counter(held.stream_ids)
    return [
        f"stream {i}: started {started[i]}, finished {finished[i]}, live {live[i]}"
        for i in started.keys() | finished.keys() | live.keys()
        if started[i] != 1 or finished[i] + live[i] != 1
    ]


def _law_2(held: Contents) -> list[str]:
    """Per session's life: one start; then a live row or one terminal event."""
    started = Counter(e.session_uid for e in held.events if e.event is EventName.SESSION_STARTED)
    ended = Counter(e.session_uid for e in held.events if e.event in _SESSION_ENDS)
    live = Counter(held.session_uids)
    # What is recorded of the trail itself belongs to no session.
    named = {e.session_uid for e in held.events if e.event is not EventName.TRAIL_PRUNED}
    return [
        f"session {i}: started {started[i]}, ended {ended[i]}, live {live[i]}"
        for i in started.keys() | ended.keys() | live.keys() | named
        if started[i] != 1 or ended[i] + live[i] != 1
    ]


def _law_3(held: Contents) -> list[str]:
    """Per finished stream: a signal, open or settled, exactly where its outcome calls for one."""
    settled = Counter(e.stream_id for e in held.events if e.event is EventName.SIGNAL_SETTLED)
    open_: Counter[UUID | None] = Counter(held.signalled_stream_ids)
    wanted = {
        e.stream_id: 1 if e.outcome in SIGNALLED_OUTCOMES else 0
        for e in held.events
        if e.event is EventName.STREAM_FINISHED
    }
    return [
        f"stream {i}: signals open {open_[i]}, settled {settled[i]}, wanted {wanted.get(i)}"
        for i in settled.keys() | open_.keys() | wanted.keys()
        if settled[i] + open_[i] != wanted.get(i)
    ]


def _durations(held: Contents) -> list[str]:
    """Terminal rows carry the time of their beginning, and it lies before their end.

    So does a request that came before its stream.
    """
    terminal = _SESSION_ENDS | {EventName.STREAM_FINISHED, EventName.SIGNAL_SETTLED}
    return [
        f"event {e.event_id}: {e.event} at {e.occurred_at}, begun at {e.started_at}"
        for e in held.events
        if e.event is not EventName.INTERRUPT_REQUESTED
        and (e.event in terminal) != (e.started_at is not None)
    ]
