"""Rows as values: shared by all repositories."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.doorbell import ToldBy
from session_router.events import EventName, SignalAction, SignalOutcome, StreamOutcome

NO_WORKER: Final = UUID(int=0)
"""The owner of streams that `save_session` added: nobody can stop them, nobody reaps them."""


ANYBODYS: Final = ""
"""In place of an owner, which is never empty, in a key, where NULL cannot be."""

REQUEST_LEASE: Final = timedelta(seconds=30)
"""A request of many transactions is taken to be under way for so long after each of them."""

DETAIL_OF_CLEARED: Final = {
    SignalOutcome.FAILED: "the worker stopped before the signal was delivered",
    SignalOutcome.LOST: "the worker died before the signal was settled",
}
"""What is said of the signals that a stopped, or a dead, worker left behind."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One row of `sessions`."""

    session_id: str
    session_uid: UUID
    start_time: datetime
    last_updated: datetime
    owner: str | None = None
    timeout_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One row of `agent_streams`."""

    session_id: str
    agent_id: AgentId
    stream_id: UUID
    worker_id: UUID
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Signal:
    """One row of `interrupt_signals`: the order to one worker to stop one stream."""

    signal_id: UUID
    worker_id: UUID
    request_id: UUID
    session_id: str
    session_uid: UUID
    agent_id: AgentId
    stream_id: UUID
    action: SignalAction
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """One row of `early_stops`: the stop of a stream that was not registered yet.

    Attributes:
        owner: it is only for a session of this owner; empty: for anybody's.
    """

    stream_id: UUID
    owner: str
    session_id: str
    request_id: UUID
    requested_at: datetime
    actor: str | None
    reason: str | None

    @classmethod
    def of(
        cls,
        stream_id: UUID,
        owner: str | None,
        session_id: str,
        request_id: UUID,
        now: datetime,
        requester: "Requester",
    ) -> Self:
        """The stop that a caller asks for."""
        actor, reason = requester.actor, requester.reason
        return cls(stream_id, owner or ANYBODYS, session_id, request_id, now, actor, reason)


def first_that_holds(stops: Iterable[EarlyStop], since: datetime) -> EarlyStop | None:
    """The one that was asked for first, of those that were asked for after a moment."""
    hold = (stop for stop in stops if stop.requested_at > since)
    return min(hold, key=lambda stop: stop.requested_at, default=None)


def askers_for(owner: str | None) -> set[str]:
    """Whose early stops are for a session of this owner's, or of nobody's in particular."""
    return {ANYBODYS, owner or ANYBODYS}


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One row of `workers`, with the age of its heartbeat and the number of its streams.

    Attributes:
        key_id: whose key entered it over HTTP; None where it is a process on this database.
        wake_ups: how it learns of its signals; None where it has not told.
    """

    worker_id: UUID
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age: timedelta
    streams: int
    key_id: str | None = None
    wake_ups: ToldBy | None = None


@dataclass(frozen=True, slots=True)
class ReapedWorker:
    """A worker whose row was taken by a reaper: where it ran."""

    worker_id: UUID
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a signal."""

    signal_id: UUID
    outcome: SignalOutcome
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a change: the acting worker, and the actor and reason that its caller gave."""

    worker_id: UUID | None = None
    actor: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of `session_events`, before the database numbers it."""

    occurred_at: datetime
    session_id: str
    session_uid: UUID
    event: EventName
    agent_type: str | None = None
    agent_key: str | None = None
    stream_id: UUID | None = None
    worker_id: UUID | None = None
    request_id: UUID | None = None
    started_at: datetime | None = None
    outcome: StreamOutcome | SignalOutcome | None = None
    actor: str | None = None
    detail: str | None = None


def columns_of(row: SessionRow | EventRow | EarlyStop) -> dict[str, Any]:
    """A record whose fields are its table's columns, by their names."""
    return {name: getattr(row, name) for name in row.__slots__}


def touched(session: SessionRow, now: datetime) -> SessionRow:
    """The row after a touch: `last_updated` never goes back."""
    return replace(session, last_updated=max(session.last_updated, now))
