"""InMemorySessionRepository: the whole contract in one process's memory, for tests and trials."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID, uuid4

from session_router.agent_id import AgentId
from session_router.doorbell import ToldBy
from session_router.errors import SignalNotFoundError, StreamExistsError
from session_router.events import EventName, SessionEvent, SignalOutcome, StreamOutcome
from session_router.repository import trail
from session_router.repository.base import SessionRepository
from session_router.repository.changes import (
    EVERY_SESSION,
    Finish,
    Register,
    SessionFilter,
    Start,
    Stop,
    StopStream,
    StreamFilter,
    Sweep,
    SweepPosition,
    Touch,
    WhenBusy,
)
from session_router.repository.memory_measures import MemoryMeasures
from session_router.repository.memory_requests import MemoryRequests
from session_router.repository.records import (
    NO_WORKER,
    EarlyStop,
    ReapedWorker,
    Requester,
    Settlement,
    Signal,
    StreamRow,
    WorkerRow,
)
from session_router.repository.results import (
    SIGNALS_READ,
    UNDELIVERED_TOLD,
    Found,
    InterruptBatch,
    Leftovers,
    MatchCount,
    Receipts,
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
    UndeliveredSignal,
    WorkerStreams,
)
from session_router.session import Session, check_session_id, checked, to_store

_BY_HAND: Final = Requester()


class InMemorySessionRepository(MemoryMeasures, MemoryRequests, SessionRepository):
    """Sessions, streams, signals and the newest 10,000 events in this process's memory.

    No method gives way to another task halfway, which makes each an atomic change.

    Args:
        clock: tells the time, aware UTC; the machine's when left out.
    """

    # The published interface

    async def save_session(self, session: Session) -> None:
        session = checked(session)
        now = self._now()
        row = self._sessions.get(session.session_id)
        if row is None:
            row = self._create(Start(session.session_id, _BY_HAND, owner=session.owner), now)
        self._sessions[session.session_id] = replace(row, **to_store(session))
        streaming = self._streams_of(session.session_id)
        for agent_id in sorted(streaming.keys() - session.agents_streaming):
            self._finish(streaming[agent_id], now, StreamOutcome.COMPLETED)
        for agent_id in sorted(session.agents_streaming - streaming.keys()):
            self._open(StreamRow(session.session_id, agent_id, uuid4(), NO_WORKER, now))

    async def get_session(self, session_id: str) -> Session | None:
        """Read a session, without a touch; a missing one is created, as published."""
        check_session_id(session_id)
        if session_id not in self._sessions:
            self._create(Start(session_id, _BY_HAND), self._now())
        return await self.find_session(session_id)

    async def delete_session(self, session_id: str) -> None:
        check_session_id(session_id)
        await self.end_session(session_id, _BY_HAND)

    # Reads

    async def find_session(self, session_id: str) -> Session | None:
        row = self._sessions.get(session_id)
        return None if row is None else self._snapshot(row)

    async def list_sessions(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        matching: SessionFilter = EVERY_SESSION,
    ) -> list[Session]:
        now = self._now()
        ids = sorted(
            session_id
            for session_id, row in self._sessions.items()
            if (after is None or session_id > after) and self._is_meant(row, matching, now)
        )
        return [self._snapshot(self._sessions[session_id]) for session_id in ids[:limit]]

    async def list_streams(self, session_id: str, owner: str | None = None) -> list[StreamRow]:
        is_meant = self._session_for(Touch(session_id, owner=owner)) is not None
        return self._in_order(session_id) if is_meant else []

    async def list_events(
        self,
        session_id: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        tailing: bool = True,
        owner: str | None = None,
    ) -> list[SessionEvent]:
        matching = (
            event
            for event in self._events_of(owner)
            if event.event_id > after and session_id in (None, event.session_id)
        )
        return list(islice(matching, limit))

    async def ping(self) -> None:
        """Memory always answers."""

    async def close(self) -> None:
        """Memory holds nothing that has to be given back."""

    # Sessions

    async def touch_session(self, asked: Touch) -> Session | None:
        return self._touch(asked)

    async def start_session(self, asked: Start) -> Session:
        return self._touch(asked) or self._snapshot(self._create(asked, self._now()))

    async def replace_session(self, asked: Start) -> tuple[Session, StopRequest]:
        now, request = self._now(), StopRequest(asked.request_id or uuid4())
        if self._was_done(asked):
            return self._begun_before(asked), request
        row = self._session_for(asked)
        if row is not None:
            ending = EventName.SESSION_REPLACED
            request = self._remove(row, now, ending, asked.requester, request.request_id)
        self._keep(asked)
        return self._snapshot(self._create(asked, now)), request

    async def end_session(
        self, session_id: str, requester: Requester, *, owner: str | None = None
    ) -> StopRequest | None:
        row = self._session_for(Stop(session_id, requester, owner=owner))
        if row is None:
            return None
        return self._remove(row, self._now(), EventName.SESSION_ENDED, requester)

    async def expire_sessions(
        self,
        idle_for: timedelta,
        requester: Requester,
        *,
        grace: timedelta = timedelta(0),
        limit: int,
        after: SweepPosition | None = None,
    ) -> SweepBatch:
        now, asked = self._now(), Sweep(idle_for, grace, requester, limit, after)
        behind = (datetime.min.replace(tzinfo=UTC), "")
        if after is not None and after.moment is not None:
            behind = after.moment, after.session_id
        batch = [place for place in self._idle(asked, now) if place > behind][:limit]
        requests = [
            self._remove(self._sessions[i], now, EventName.SESSION_EXPIRED, requester)
            for _, i in batch
        ]
        return SweepBatch(
            sessions=len(batch),
            streams=sum(len(request.streams) for request in requests),
            signals=[signal for request in requests for signal in request.signals],
            position=asked.position(len(batch), *batch[-1]) if batch else asked.end,
        )

    # Streams

    async def register_stream(self, asked: Register) -> Registration:
        session_id, agent_id, worker_id = asked.session_id, asked.agent_id, asked.worker_id
        self._check_present(worker_id)
        live = self._session_for(asked)
        owner = asked.owner if live is None else live.owner
        streaming = self._streams_of(session_id)
        current = streaming.get(agent_id)
        if current and asked.is_repetition_of(current):
            self._touch(asked.start)
            minutes = self._sessions[session_id].timeout_minutes
            return Registration(current.stream_id, timeout_minutes=minutes)
        if asked.is_named and self._beginning_of(asked.stream_id) is not None:
            raise StreamExistsError.of(asked.stream_id)
        in_the_way = [s for s in self._in_order(session_id) if asked.alone or s is current]
        stop = self._early_stop_of(asked, owner) if asked.is_named else None
        if stop is None:
            asked.check_free(in_the_way)
        await self.start_session(asked.start)
        stream = StreamRow(session_id, agent_id, asked.stream_id, worker_id, self._now())
        session = self._sessions[session_id]
        if stop is not None:
            self._record(trail.stopped_registration(stream, session, stop, asked.actor))
            return Registration(asked.stream_id, is_stopped=True)
        request_id, interrupts = uuid4(), asked.when_busy is WhenBusy.INTERRUPT
        written = trail.registration(
            stream, session, in_the_way, request_id, actor=asked.actor, interrupts=interrupts
        )
        signals = self._take_out(in_the_way, written)
        self._put(stream)
        return Registration.of(asked, session, StopRequest(request_id, in_the_way, signals))

    async def finish_stream(self, asked: Finish) -> UUID | None:
        if asked.is_fenced:
            self._check_present(asked.worker_id)
        stream = self._streams_of(asked.session_id).get(asked.agent_id)
        is_other = stream is not None and asked.stream_id not in (None, stream.stream_id)
        if stream is None or is_other or self._session_for(asked) is None:
            return None
        of_its_worker = asked.is_fenced or asked.stream_id is None
        if of_its_worker and stream.worker_id != asked.worker_id:
            return None
        self._finish(stream, self._now(), asked.outcome, asked.detail)
        return stream.stream_id

    async def stream_outcome(self, session_id: str, stream_id: UUID) -> StreamOutcome | None:
        for event in reversed(self._events):
            if event.stream_id == stream_id and event.event is EventName.STREAM_FINISHED:
                return StreamOutcome(event.outcome) if event.outcome else None
        return None

    async def interrupt_streams(
        self,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        *,
        owner: str | None = None,
        request_id: UUID | None = None,
    ) -> StopRequest | None:
        asked = Stop.of(session_id, agents, requester, request_id, owner)
        if self._was_done(asked):
            return StopRequest(asked.request_id, self._stopped_by(asked.request_id, owner))
        row = self._session_for(asked)
        if row is None:
            return None
        self._keep(asked)
        return self._interrupt(row, asked)

    async def count_streams(self, matching: StreamFilter) -> MatchCount:
        now = self._now()
        found = [s.session_id for s in self._streams_meant(matching, now)]
        return MatchCount(len(set(found)), len(found))

    async def interrupt_matching(
        self,
        matching: StreamFilter,
        requester: Requester,
        request_id: UUID,
        *,
        limit: int,
        after: str | None = None,
    ) -> InterruptBatch:
        now = self._now()
        found = {
            stream.session_id
            for stream in self._streams_meant(matching, now)
            if after is None or stream.session_id > after
        }
        turn = sorted(found)[:limit]
        requests = [
            self._interrupt(
                self._sessions[i], Stop(i, requester, matching=matching, request_id=request_id)
            )
            for i in turn
        ]
        return InterruptBatch(
            sessions=len(turn),
            streams=sum(len(request.streams) for request in requests),
            signals=[signal for request in requests for signal in request.signals],
            position=turn[-1] if len(turn) == limit else None,
        )

    async def begin_request(self, request_id: UUID, fingerprint: str) -> bool:
        return self._begin_request(request_id, fingerprint)

    async def advance_request(self, request_id: UUID, *, is_over: bool) -> None:
        self._advance_request(request_id, is_over)

    async def count_interrupted(self, request_id: UUID, *, owner: str | None = None) -> MatchCount:
        stopped = self._stopped_by(request_id, owner)
        return MatchCount(len({stream.session_id for stream in stopped}), len(stopped))

    async def receipts(self, request_id: UUID, *, owner: str | None = None) -> Receipts | None:
        events = [event for event in self._events_of(owner) if event.request_id == request_id]
        lives = self._lives_of(owner)
        open_ = [
            s.requested_at
            for s in self._signals.values()
            if s.request_id == request_id and (lives is None or s.session_uid in lives)
        ]
        requested = [e for e in events if e.event is EventName.INTERRUPT_REQUESTED]
        settled = [e for e in events if e.event is EventName.SIGNAL_SETTLED]
        times = [e.started_at or e.occurred_at for e in (*requested, *settled)]
        if not (times or open_):
            return None
        counts = Counter(event.outcome for event in settled)
        failures = [e for e in settled if e.outcome != SignalOutcome.DELIVERED]
        return Receipts(
            request_id=request_id,
            requested_at=min([*times, *open_]),
            delivered=counts[SignalOutcome.DELIVERED],
            failed=counts[SignalOutcome.FAILED],
            lost=counts[SignalOutcome.LOST],
            open=len(open_),
            undelivered=[UndeliveredSignal.of(event) for event in failures[:UNDELIVERED_TOLD]],
        )

    async def interrupt_stream(self, asked: StopStream) -> StreamInterrupt:
        session_id, stream_id, requester = asked.session_id, asked.stream_id, asked.requester
        now, request_id = self._now(), asked.request_id
        if self._was_done(asked):
            return self._found_before(asked)
        session = self._session_for(asked)
        self._keep(asked)
        streams = [s for s in self._in_order(session_id) if s.stream_id == stream_id]
        beginning = self._beginning_of(stream_id)
        if beginning is None and not streams:
            stop = EarlyStop.of(stream_id, asked.owner, session_id, request_id, now, requester)
            kept = self._early_stops.get((stream_id, stop.owner))
            if kept is None or kept.requested_at <= now - asked.early_stop:
                self._early_stops[stream_id, stop.owner] = kept = stop
            return StreamInterrupt(Found.AHEAD, kept.request_id)
        signals: list[Signal] = []
        if session is not None:
            written = trail.interrupt(session, streams, now, requester, request_id, only=stream_id)
            signals = self._take_out(streams, written)
        if streams:
            return StreamInterrupt(Found.LIVE, request_id, streams[0].agent_id, signals)
        return StreamInterrupt(Found.OVER, request_id, self._agent_of(beginning, asked))

    async def clear_early_stops(self, older_than: timedelta, *, limit: int) -> int:
        cutoff = self._now() - older_than
        old = [key for key, stop in self._early_stops.items() if stop.requested_at < cutoff][:limit]
        for key in old:
            del self._early_stops[key]
        return len(old)

    # Workers and their signals

    async def add_worker(
        self,
        worker_id: UUID,
        host: str,
        pid: int,
        key_id: str | None = None,
        version: str | None = None,
    ) -> UUID:
        now = self._now()
        self._workers[worker_id] = WorkerRow(worker_id, host, pid, now, now, timedelta(), 0, key_id)
        return worker_id

    async def beat(self, worker_id: UUID) -> datetime | None:
        if worker_id not in self._workers:
            return None
        now = self._now()
        self._workers[worker_id] = replace(self._workers[worker_id], heartbeat_at=now)
        return now

    async def note_wake_ups(self, worker_id: UUID, told_by: ToldBy) -> bool:
        if worker_id not in self._workers:
            return False
        self._workers[worker_id] = replace(self._workers[worker_id], wake_ups=told_by)
        return True

    async def heartbeats(self) -> dict[UUID, datetime]:
        return {worker_id: worker.heartbeat_at for worker_id, worker in self._workers.items()}

    async def list_workers(self) -> list[WorkerRow]:
        now, streams = self._now(), Counter(stream.worker_id for stream in self._all_streams())
        return [
            replace(
                worker,
                heartbeat_age=now - worker.heartbeat_at,
                streams=streams[worker.worker_id],
            )
            for worker in self._workers.values()
        ]

    async def find_worker(self, worker_id: UUID) -> WorkerRow | None:
        found = await self.list_workers()
        return next((worker for worker in found if worker.worker_id == worker_id), None)

    async def streams_of_worker(self, worker_id: UUID) -> WorkerStreams | None:
        if worker_id not in self._workers:
            return None
        return WorkerStreams(
            live=[s for s in self._all_streams() if s.worker_id == worker_id],
            signalled={s.stream_id for s in self._signals.values() if s.worker_id == worker_id},
        )

    async def remove_worker(self, worker_id: UUID) -> Leftovers:
        row = Leftovers(workers=1 if self._workers.pop(worker_id, None) else 0)
        left = self._clear({worker_id}, StreamOutcome.WORKER_STOPPED, SignalOutcome.FAILED)
        return row + left

    async def reap_workers(self, silent: Mapping[UUID, datetime]) -> Leftovers:
        beats = await self.heartbeats()
        dead = {worker_id for worker_id, seen in silent.items() if beats.get(worker_id) == seen}
        rows = [self._workers.pop(worker_id) for worker_id in dead]
        reaped = tuple(ReapedWorker(row.worker_id, row.host, row.pid) for row in rows)
        # Nothing is left of a worker but in the step that takes it out: see `remove_worker`.
        left = self._clear(dead, StreamOutcome.WORKER_LOST, SignalOutcome.LOST)
        return Leftovers(workers=len(reaped), reaped=reaped) + left

    async def unsettled_signals(self, worker_id: UUID) -> list[Signal]:
        mine = (signal for signal in self._signals.values() if signal.worker_id == worker_id)
        return list(islice(mine, SIGNALS_READ))

    async def unsettled_signals_of(self, worker_ids: Collection[UUID]) -> dict[UUID, list[Signal]]:
        return {i: await self.unsettled_signals(i) for i in worker_ids if i in self._workers}

    async def settle_signals(
        self, settlements: Sequence[Settlement], *, worker_id: UUID | None = None
    ) -> int:
        if worker_id is not None:
            self._check_own(settlements, worker_id)
        return self._settle(settlements)

    def _check_own(self, settlements: Sequence[Settlement], worker_id: UUID) -> None:
        self._check_present(worker_id)
        for settlement in settlements:
            signal = self._signals.get(settlement.signal_id)
            if signal is not None and signal.worker_id != worker_id:
                raise SignalNotFoundError.of(signal.signal_id, worker_id)

    async def signal_outcomes(self, session_id: str, request_id: UUID) -> dict[UUID, SignalOutcome]:
        return {
            event.stream_id: SignalOutcome(event.outcome)
            for event in self._events
            if event.request_id == request_id
            and event.event is EventName.SIGNAL_SETTLED
            and event.stream_id
            and event.outcome
        }
