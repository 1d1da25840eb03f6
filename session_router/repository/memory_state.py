"""What the repository in memory holds, and the steps that its operations are made of."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID, uuid4

from session_router.agent_id import AgentId
from session_router.errors import WorkerNotFoundError
from session_router.events import EventName, SessionEvent, SignalOutcome, StreamOutcome
from session_router.repository import records, trail
from session_router.repository.changes import (
    Change,
    Register,
    SessionFilter,
    Start,
    Stop,
    StopStream,
    StreamFilter,
    Sweep,
    Touch,
    refuse,
)
from session_router.repository.records import (
    EarlyStop,
    EventRow,
    Requester,
    SessionRow,
    Settlement,
    Signal,
    StreamRow,
    WorkerRow,
    askers_for,
    first_that_holds,
)
from session_router.repository.results import (
    Leftovers,
    StopRequest,
)
from session_router.session import Session, stored

_EVENTS_KEPT: Final = 10_000


class MemoryState:
    """Sessions, streams, signals and the newest events; see `InMemorySessionRepository`."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = clock
        self._sessions: dict[str, SessionRow] = {}
        self._streams: dict[str, dict[AgentId, StreamRow]] = {}
        self._workers: dict[UUID, WorkerRow] = {}
        self._signals: dict[UUID, Signal] = {}
        self._early_stops: dict[tuple[UUID, str], EarlyStop] = {}
        self._requests: dict[UUID, str] = {}
        self._busy_until: dict[UUID, datetime] = {}
        self._events: deque[SessionEvent] = deque(maxlen=_EVENTS_KEPT)
        self._event_ids = count(1)

    def _interrupt(self, row: SessionRow, asked: Stop) -> StopRequest:
        now = self._now()
        streams = [s for s in self._in_order(row.session_id) if asked.is_for(s, now)]
        written = trail.interrupt(row, streams, now, asked.requester, asked.request_id)
        signals = self._take_out(streams, written)
        return StopRequest(asked.request_id, streams, signals)

    def _session_for(self, asked: Change) -> SessionRow | None:
        row = self._sessions.get(asked.session_id)
        if row is not None and asked.owner not in (None, row.owner):
            refuse(asked)
            return None
        return row

    def _touch(self, asked: Touch | Start) -> Session | None:
        row, now = self._session_for(asked), self._now()
        if row is None:
            return None
        if row.last_updated <= now - asked.resolution:
            row = records.touched(row, now)
            self._sessions[asked.session_id] = row
        return self._snapshot(row)

    def _create(self, asked: Start, now: datetime) -> SessionRow:
        row = SessionRow(**asked.columns, session_uid=uuid4(), start_time=now, last_updated=now)
        self._sessions[asked.session_id] = row
        self._record([trail.session_started(row, asked.requester, asked.request_id)])
        return row

    def _remove(
        self,
        row: SessionRow,
        now: datetime,
        event: EventName,
        requester: Requester,
        request_id: UUID | None = None,
    ) -> StopRequest:
        request_id = request_id or uuid4()
        streams = self._in_order(row.session_id)
        written = trail.endings([row], streams, now, event, requester, request_id)
        signals = self._take_out(streams, written)
        del self._sessions[row.session_id]
        return StopRequest(request_id, streams, signals)

    def _take_out(self, streams: Collection[StreamRow], written: trail.Written) -> list[Signal]:
        events, signals = written
        for stream in streams:
            self._close(stream)
        self._record(events)
        self._signals.update((signal.signal_id, signal) for signal in signals)
        return signals

    def _finish(
        self, stream: StreamRow, now: datetime, outcome: StreamOutcome, detail: str | None = None
    ) -> None:
        uid = self._sessions[stream.session_id].session_uid
        self._close(stream)
        self._record([trail.stream_finished(stream, uid, now, outcome, detail=detail)])

    def _clear(
        self, workers: set[UUID], streams: StreamOutcome, signals: SignalOutcome
    ) -> Leftovers:
        left = [stream for stream in self._all_streams() if stream.worker_id in workers]
        for stream in left:
            self._finish(stream, self._now(), streams)
        detail = records.DETAIL_OF_CLEARED[signals]
        unsettled = [s.signal_id for s in self._signals.values() if s.worker_id in workers]
        settled = self._settle([Settlement(i, signals, detail) for i in unsettled])
        return Leftovers(len(left), settled)

    def _settle(self, settlements: Sequence[Settlement]) -> int:
        settled = 0
        for settlement in settlements:
            signal = self._signals.pop(settlement.signal_id, None)
            if signal is not None:
                outcome, detail = settlement.outcome, settlement.detail
                self._record([trail.signal_settled(signal, self._now(), outcome, detail)])
                settled += 1
        return settled

    def _check_present(self, worker_id: UUID | None) -> None:
        if worker_id is not None and worker_id not in self._workers:
            raise WorkerNotFoundError.of(worker_id)

    def _is_meant(self, row: SessionRow, matching: SessionFilter, now: datetime) -> bool:
        streams = self._in_order(row.session_id)
        of_one = StreamFilter(matching.agent_type, matching.worker_id)
        idle_for = matching.idle_for
        return (
            row.session_id.startswith(matching.prefix or "")
            and (matching.streaming is None or matching.streaming == bool(streams))
            and matching.owner in (None, row.owner)
            and (idle_for is None or row.last_updated < now - idle_for)
            and (of_one == StreamFilter() or any(of_one.matches(s, now) for s in streams))
        )

    def _idle(self, asked: Sweep, now: datetime) -> list[tuple[datetime, str]]:
        """What a sweep deletes, in its order: when each was touched, or expired."""
        grace = asked.grace if asked.is_of_own else asked.idle_for
        moments = [
            (row.last_updated + timedelta(minutes=row.timeout_minutes or 0), row.session_id)
            for row in self._sessions.values()
            if (row.timeout_minutes is not None) == asked.is_of_own
        ]
        return sorted(place for place in moments if place[0] < now - grace)

    def _lives_of(self, owner: str | None) -> set[UUID] | None:
        """The lives that were an owner's, as their starts tell; None: all."""
        if owner is None:
            return None
        starts = (e for e in self._events if e.event is EventName.SESSION_STARTED)
        return {event.session_uid for event in starts if event.detail == owner}

    def _events_of(self, owner: str | None) -> list[SessionEvent]:
        lives = self._lives_of(owner)
        return [event for event in self._events if lives is None or event.session_uid in lives]

    def _streams_meant(self, matching: StreamFilter, now: datetime) -> list[StreamRow]:
        return [
            stream
            for stream in self._all_streams()
            if matching.matches(stream, now)
            and matching.owner in (None, self._sessions[stream.session_id].owner)
        ]

    def _all_streams(self) -> list[StreamRow]:
        return [s for streams in self._streams.values() for s in streams.values()]

    def _put(self, stream: StreamRow) -> None:
        self._streams.setdefault(stream.session_id, {})[stream.agent_id] = stream

    def _open(self, stream: StreamRow) -> None:
        self._put(stream)
        uid = self._sessions[stream.session_id].session_uid
        self._record([trail.stream_started(stream, uid)])

    def _close(self, stream: StreamRow) -> None:
        streams = self._streams[stream.session_id]
        del streams[stream.agent_id]
        if not streams:
            del self._streams[stream.session_id]

    def _streams_of(self, session_id: str) -> dict[AgentId, StreamRow]:
        return self._streams.get(session_id, {})

    def _in_order(self, session_id: str) -> list[StreamRow]:
        return [stream for _, stream in sorted(self._streams_of(session_id).items())]

    def _beginning_of(self, stream_id: UUID) -> SessionEvent | None:
        for event in reversed(self._events):
            if event.stream_id == stream_id and event.event is EventName.STREAM_STARTED:
                return event
        return None

    def _agent_of(self, beginning: SessionEvent | None, asked: StopStream) -> AgentId | None:
        """Whose stream it is, where it began in that session, and in a life of the owner's."""
        if beginning is None or beginning.session_id != asked.session_id:
            return None
        lives = self._lives_of(asked.owner)
        return beginning.agent_id if lives is None or beginning.session_uid in lives else None

    def _early_stop_of(self, asked: Register, owner: str | None) -> EarlyStop | None:
        found = []
        for asker in askers_for(owner):
            stop = self._early_stops.get((asked.stream_id, asker))
            if stop is not None and stop.session_id == asked.session_id:
                found.append(self._early_stops.pop((asked.stream_id, asker)))
        return first_that_holds(found, self._now() - asked.early_stop)

    def _snapshot(self, row: SessionRow) -> Session:
        return stored(records.columns_of(row), set(self._streams_of(row.session_id)))

    def _record(self, rows: Iterable[EventRow]) -> None:
        for row in rows:
            self._events.append(
                SessionEvent(event_id=next(self._event_ids), **records.columns_of(row))
            )
