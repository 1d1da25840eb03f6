"""What a change writes beside the rows it changes: its events, and the signals it gives."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from session_router.events import EventName, SignalAction, SignalOutcome, StreamOutcome
from session_router.repository.records import (
    NO_WORKER,
    EarlyStop,
    EventRow,
    Requester,
    SessionRow,
    Signal,
    StreamRow,
)

Written = tuple[list[EventRow], list[Signal]]
"""The events to write, and the signals to put into the outbox."""

_ACTION_OF: Final = {
    StreamOutcome.INTERRUPTED: SignalAction.CANCEL,
    StreamOutcome.SUPERSEDED: SignalAction.CANCEL,
    StreamOutcome.SESSION_ENDED: SignalAction.CANCEL_AND_REMOVE,
    StreamOutcome.SESSION_EXPIRED: SignalAction.CANCEL_AND_REMOVE,
    StreamOutcome.SESSION_REPLACED: SignalAction.CANCEL_AND_REMOVE,
}


def registration(
    stream: StreamRow,
    session: SessionRow,
    giving_way: Collection[StreamRow],
    request_id: UUID,
    *,
    actor: str | None,
    interrupts: bool,
) -> Written:
    """A stream begins; those in its way are superseded, or interrupted at its worker's request."""
    now, uids = stream.started_at, {session.session_id: session.session_uid}
    if interrupts and giving_way:
        requester = Requester(stream.worker_id, actor)
        written = interrupt(session, giving_way, now, requester, request_id)
    else:
        written = stop_streams(giving_way, uids, now, StreamOutcome.SUPERSEDED, request_id)
    events, signals = written
    return [*events, stream_started(stream, session.session_uid, actor)], signals


def stopped_registration(
    stream: StreamRow, session: SessionRow, stop: EarlyStop, actor: str | None
) -> list[EventRow]:
    """A stream begins, and ends in the same moment, since its stop came first."""
    now, uid = stream.started_at, session.session_uid
    requester = Requester(actor=stop.actor, reason=stop.reason)
    requested = interrupt_requested(session, now, requester, stop.request_id, stream.stream_id)
    requested = replace(requested, started_at=stop.requested_at)
    finished = stream_finished(
        stream, uid, now, StreamOutcome.INTERRUPTED, request_id=stop.request_id
    )
    signal = _signal(stream, uid, stop.requested_at, SignalAction.CANCEL, stop.request_id)
    settled = signal_settled(signal, now, SignalOutcome.DELIVERED, None)
    return [stream_started(stream, uid, actor), requested, finished, settled]


def interrupt(
    session: SessionRow,
    streams: Collection[StreamRow],
    now: datetime,
    requester: Requester,
    request_id: UUID,
    *,
    only: UUID | None = None,
) -> Written:
    """Streams of a session that lives on are stopped; asked for is that, even where none is.

    Args:
        only: the stream that the request names, if it names one.
    """
    uids = {session.session_id: session.session_uid}
    events, signals = stop_streams(streams, uids, now, StreamOutcome.INTERRUPTED, request_id)
    requested = interrupt_requested(session, now, requester, request_id, only)
    return [requested, *events], signals


def endings(
    sessions: Collection[SessionRow],
    streams: Collection[StreamRow],
    now: datetime,
    event: EventName,
    requester: Requester,
    request_id: UUID,
) -> Written:
    """Sessions end, are replaced or expire; their streams are stopped."""
    uids = {session.session_id: session.session_uid for session in sessions}
    events, signals = stop_streams(streams, uids, now, StreamOutcome(event), request_id)
    ended = [session_finished(s, now, event, requester, request_id) for s in sessions]
    return [*events, *ended], signals


def session_started(
    session: SessionRow, requester: Requester, request_id: UUID | None = None
) -> EventRow:
    """The first event of a life; its detail is the owner."""
    return EventRow(
        session.start_time,
        session.session_id,
        session.session_uid,
        EventName.SESSION_STARTED,
        worker_id=requester.worker_id,
        request_id=request_id,
        actor=requester.actor,
        detail=session.owner,
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
    session: SessionRow,
    now: datetime,
    requester: Requester,
    request_id: UUID,
    stream_id: UUID | None = None,
) -> EventRow:
    return EventRow(
        now,
        session.session_id,
        session.session_uid,
        EventName.INTERRUPT_REQUESTED,
        stream_id=stream_id,
        worker_id=requester.worker_id,
        request_id=request_id,
        actor=requester.actor,
        detail=requester.reason,
    )


def stream_started(stream: StreamRow, session_uid: UUID, actor: str | None = None) -> EventRow:
    return EventRow(
        stream.started_at,
        stream.session_id,
        session_uid,
        EventName.STREAM_STARTED,
        agent_type=stream.agent_id.type,
        agent_key=stream.agent_id.key,
        stream_id=stream.stream_id,
        worker_id=stream.worker_id,
        actor=actor,
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
) -> Written:
    """What it takes to stop streams: an event each, and a signal to each one's worker.

    A stream of no worker has nobody to signal: that is recorded as settled, failed, at once.

    Args:
        outcome: one of `SIGNALLED_OUTCOMES`.
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
