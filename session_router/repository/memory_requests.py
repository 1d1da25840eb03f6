"""Requests that their callers named, in memory: each is carried out once, and told again."""

from uuid import UUID

from session_router.agent_id import AgentId
from session_router.errors import RequestReusedError, RequestUnderWayError
from session_router.events import EventName
from session_router.repository.changes import Start, Stop, StopStream
from session_router.repository.memory_state import MemoryState
from session_router.repository.records import ANYBODYS, NO_WORKER, REQUEST_LEASE, StreamRow
from session_router.repository.results import Found, StreamInterrupt
from session_router.session import Session, stored


class MemoryRequests(MemoryState):
    """The steps of `repository/sql/requests.py` and `repetitions.py`."""

    def _was_done(self, asked: Start | Stop | StopStream) -> bool:
        """Whether a request was carried out before. Raises RequestReusedError."""
        if not asked.once or asked.request_id is None:
            return False
        return self._was_named(asked.request_id, asked.fingerprint)

    def _was_named(self, request_id: UUID, fingerprint: str) -> bool:
        if self._requests.get(request_id, fingerprint) != fingerprint:
            raise RequestReusedError.of(request_id)
        return request_id in self._requests

    def _keep(self, asked: Start | Stop | StopStream) -> None:
        if asked.once and asked.request_id is not None:
            self._requests[asked.request_id] = asked.fingerprint

    def _begin_request(self, request_id: UUID, fingerprint: str) -> bool:
        if self._was_named(request_id, fingerprint):
            if request_id not in self._busy_until:
                return False
            if self._busy_until[request_id] > self._now():
                raise RequestUnderWayError.of(request_id)
        self._requests[request_id] = fingerprint
        self._advance_request(request_id, is_over=False)
        return True

    def _advance_request(self, request_id: UUID, is_over: bool) -> None:
        if is_over:
            self._busy_until.pop(request_id, None)
        else:
            self._busy_until[request_id] = self._now() + REQUEST_LEASE

    def _stopped_by(self, request_id: UUID, owner: str | None) -> list[StreamRow]:
        stopped = [
            StreamRow(
                event.session_id,
                AgentId.stored(event.agent_type or "", event.agent_key or ""),
                event.stream_id,
                event.worker_id or NO_WORKER,
                event.started_at or event.occurred_at,
            )
            for event in self._events_of(owner)
            if event.request_id == request_id
            and event.event is EventName.STREAM_FINISHED
            and event.stream_id is not None
        ]
        return sorted(stopped, key=lambda stream: stream.agent_id)

    def _found_before(self, asked: StopStream) -> StreamInterrupt:
        request_id = asked.request_id
        if (held := self._early_stops.get((asked.stream_id, asked.owner or ANYBODYS))) is not None:
            return StreamInterrupt(Found.AHEAD, held.request_id)
        requested = [
            event
            for event in self._events
            if event.request_id == request_id and event.event is EventName.INTERRUPT_REQUESTED
        ]
        if any(event.started_at is not None for event in requested):
            return StreamInterrupt(Found.AHEAD, request_id)
        if stopped := self._stopped_by(request_id, asked.owner):
            return StreamInterrupt(Found.LIVE, request_id, stopped[0].agent_id)
        beginning = self._beginning_of(asked.stream_id)
        if beginning is None and not requested:
            return StreamInterrupt(Found.AHEAD, request_id)
        return StreamInterrupt(Found.OVER, request_id, self._agent_of(beginning, asked))

    def _begun_before(self, asked: Start) -> Session:
        started = [
            event
            for event in self._events
            if event.request_id == asked.request_id and event.event is EventName.SESSION_STARTED
        ]
        live = self._sessions.get(asked.session_id)
        if live is not None and live.session_uid in {event.session_uid for event in started}:
            return self._snapshot(live)
        moment = started[0].occurred_at if started else self._now()
        columns = asked.columns | {"start_time": moment, "last_updated": moment}
        return stored(columns, set())
