"""Rows as values, and the events that a change of them writes: shared by all repositories."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from session_router.agent_id import AgentId
from session_router.events import EventName, SignalAction, SignalOutcome, StreamOutcome

NO_WORKER: Final = UUID(int=0)
"""The owner of streams that `save_session` added: nobody can stop them, nobody reaps them."""


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
class WorkerRow:
    """One row of `workers`, with the age of its heartbeat and the number of its streams."""

    worker_id: UUID
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    heartbeat_age: timedelta
    streams: int


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


_ACTION_OF: Final = {
    StreamOutcome.INTERRUPTED: SignalAction.CANCEL,
    StreamOutcome.SUPERSEDED: SignalAction.CANCEL,
    StreamOutcome.SESSION_ENDED: SignalAction.CANCEL_AND_REMOVE,
    StreamOutcome.SESSION_EXPIRED: SignalAction.CANCEL_AND_REMOVE,
    StreamOutcome.SESSION_REPLACED: SignalAction.CANCEL_AND_REMOVE,
}


def columns_of(row: SessionRow | EventRow) -> dict[str, Any]:
    """A record whose fields are its table's columns, by their names."""
    return {name: getattr(row, name) for name in row.__slots__}


def session_started(session: SessionRow, now: datetime, worker_id: UUID | None) -> EventRow:
    return EventRow(
        now, session.session_id, session.session_uid, EventName.SESSION_STARTED, worker_id=worker_id
    )


def session_finished(
    session: SessionRow,
    now: datetime,
    event: EventName,
    requester: Requester,
    request_id: UUID | None = None,
) -> EventRow:
    """The terminal event of a session: ended, expired or replaced."""
    return EventRow(
        now,
        session.session_id,
        session.session_uid,
        event,
        worker_id=requester.worker_id,
        request_id=request_id,
        started_at=session.start_time,
        actor=requester.actor,
        detail=requester.reason,
    )


def interrupt_requested(
    session: SessionRow, now: datetime, requester: Requester, request_id: UUID
) -> EventRow:
    return EventRow(
        now,
        session.session_id,
        session.session_uid,
        EventName.INTERRUPT_REQUESTED,
        worker_id=requester.worker_id,
        request_id=request_id,
        actor=requester.actor,
        detail=requester.reason,
    )


def stream_started(stream: StreamRow, session_uid: UUID) -> EventRow:
    return EventRow(
        stream.started_at,
        stream.session_id,
        session_uid,
        EventName.STREAM_STARTED,
        agent_type=stream.agent_id.type,
        agent_key=stream.agent_id.key,
        stream_id=stream.stream_id,
        worker_id=stream.worker_id,
    )


def stream_finished(
    stream: StreamRow,
    session_uid: UUID,
    now: datetime,
    outcome: StreamOutcome,
    *,
    request_id: UUID | None = None,
    detail: str | None = None,
) -> EventRow:
    return EventRow(
        now,
        stream.session_id,
        session_uid,
        EventName.STREAM_FINISHED,
        agent_type=stream.agent_id.type,
        agent_key=stream.agent_id.key,
        stream_id=stream.stream_id,
        worker_id=stream.worker_id,
        request_id=request_id,
        started_at=stream.started_at,
        outcome=outcome,
        detail=detail,
    )


def signal_settled(
    signal: Signal, now: datetime, outcome: SignalOutcome, detail: str | None
) -> EventRow:
    return EventRow(
        now,
        signal.session_id,
        signal.session_uid,
        EventName.SIGNAL_SETTLED,
        agent_type=signal.agent_id.type,
        agent_key=signal.agent_id.key,
        stream_id=signal.stream_id,
        worker_id=signal.worker_id,
        request_id=signal.request_id,
        started_at=signal.requested_at,
        outcome=outcome,
        detail=detail,
    )


def stop_streams(
    streams: Iterable[StreamRow],
    session_uids: Mapping[str, UUID],
    now: datetime,
    outcome: StreamOutcome,
    request_id: UUID,
) -> tuple[list[EventRow], list[Signal]]:
    """What it takes to stop streams: an event each, and a signal to each one's worker.

    A stream of no worker has nobody to signal: that is recorded as settled, failed, at once.

    Args:
        outcome: one of `SIGNALLED_OUTCOMES`.

    Returns:
        The events to write, and the signals to put into the outbox.
    """
    events, signals = [], []
    for stream in streams:
        uid = session_uids[stream.session_id]
        events.append(stream_finished(stream, uid, now, outcome, request_id=request_id))
        signal = _signal(stream, uid, now, _ACTION_OF[outcome], request_id)
        if stream.worker_id == NO_WORKER:
            detail = "the stream was imported and belongs to no worker"
            events.append(signal_settled(signal, now, SignalOutcome.FAILED, detail))
        else:
            signals.append(signal)
    return events, signals


def _signal(
    stream: StreamRow, session_uid: UUID, now: datetime, action: SignalAction, request_id: UUID
) -> Signal:
    return Signal(
        signal_id=uuid4(),
        worker_id=stream.worker_id,
        request_id=request_id,
        session_id=stream.session_id,
        session_uid=session_uid,
        agent_id=stream.agent_id,
        stream_id=stream.stream_id,
        action=action,
        requested_at=now,
    )


def touched(session: SessionRow, now: datetime) -> SessionRow:
    """The row after a touch: `last_updated` never goes back."""
    return replace(session, last_updated=max(session.last_updated, now))
