"""HttpRepository: the contract of repositories, by way of the service."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx
from pydantic import BaseModel, TypeAdapter

from session_router.client.answers import read
from session_router.client.mirror import Mirror
from session_router.client.owners import check_unsaid
from session_router.client.service import Service, path_of
from session_router.client.signals import Signals
from session_router.client.stops import Stops
from session_router.doorbell import Doorbell, ToldBy
from session_router.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    KeyRefusedError,
    OverloadedError,
    RefusedError,
    SessionBusyError,
    StreamExistsError,
    StreamStoppedError,
    WorkerGoneError,
)
from session_router.events import StreamOutcome
from session_router.outages import Outage, outage_of
from session_router.per_loop import PerLoop
from session_router.repository.changes import Finish, Register, Touch
from session_router.repository.records import Settlement, Signal, StreamRow
from session_router.repository.results import Leftovers, Registration, WorkerStreams

_SETTLED_AT_ONCE: Final = 1_000
_NOTHING_WRITTEN: Final = (
    InvalidValueError,
    KeyRefusedError,
    OverloadedError,
    RefusedError,
    SessionBusyError,
    StreamExistsError,
    StreamStoppedError,
    WorkerGoneError,
)


class _Entered(BaseModel):
    """How the service answers who enters as a worker."""

    worker_id: UUID
    heartbeat_interval_sec: float


_ENTERED: Final = TypeAdapter(_Entered)
_MINUTES: Final = TypeAdapter(float | None)


class HttpRepository(Stops):
    """Sessions, streams and signals of a service, whose worker this process is.

    It knows by itself which streams it has registered, and gets their signals as they come. It
    neither sweeps nor reaps: that is the service's to do. What workers do needs a key with the
    scope `agent`.

    Args:
        url, key, deadline_sec: see `connect`.

    Raises:
        InvalidValueError: the URL or the key is none.
        InvalidSettingError: the deadline is out of its range.
    """

    def __init__(self, url: str, key: str | None, deadline_sec: float) -> None:
        self._service = Service(url, key, deadline_sec)
        self._mirrors = PerLoop(Mirror, lambda mirror: mirror, "client")

    @property
    def outage(self) -> Outage:
        return outage_of(self._service.url)

    async def close(self) -> None:
        """Close the connections; another operation would open others."""
        await self._service.close()

    # Streams

    async def register_stream(self, asked: Register) -> Registration:
        check_unsaid(asked.owner)
        if asked.renew:
            return await self._register(asked)
        async with self._mirror.turn(asked.session_id, asked.agent_id):
            known = await self._repeated(asked)
            return await self._register(asked) if known is None else Registration(known.stream_id)

    async def _register(self, asked: Register) -> Registration:
        mirror = self._mirror
        mirror.doubt(_row(asked))
        try:
            answer = await self._put(asked)
        except StreamStoppedError:
            await mirror.forget(asked.stream_id)
            return Registration(asked.stream_id, is_stopped=True)
        except _NOTHING_WRITTEN:
            await mirror.forget(asked.stream_id)
            raise
        except (DatabaseUnavailableError, DeadlineExceededError) as error:
            if error.nothing_written:
                await mirror.forget(asked.stream_id)
            raise
        mirror.hold(asked.stream_id)
        return Registration(
            asked.stream_id, timeout_minutes=read(_MINUTES, answer, "timeout_minutes")
        )

    async def finish_stream(self, asked: Finish) -> UUID | None:
        check_unsaid(asked.owner)
        row = self._row_of(asked)
        if row is None:
            return await self._finish_elsewhere(asked)
        if (row.session_id, row.agent_id) != (asked.session_id, asked.agent_id):
            return None
        try:
            await self._delete(asked, row.stream_id, row.worker_id)
        except WorkerGoneError:
            await self._mirror.forget(row.stream_id)
            return None
        if self._mirror.is_signalled(row.stream_id):
            return None
        await self._mirror.drop(row.stream_id)
        return row.stream_id

    async def stream_outcome(self, session_id: str, stream_id: UUID) -> StreamOutcome | None:
        """How a stream of this client ended that it did not end itself."""
        is_signalled = self._mirror.is_signalled(stream_id)
        return StreamOutcome.INTERRUPTED if is_signalled else StreamOutcome.WORKER_LOST

    async def _repeated(self, asked: Register) -> StreamRow | None:
        """The stream that is asked for and that this worker has already; its session is touched.

        The service would open another one.
        """
        known = self._mirror.stream_of(asked.worker_id, asked.session_id, asked.agent_id)
        if known is None or not asked.is_repetition_of(known):
            return None
        session = await self.touch_session(Touch(asked.session_id))
        is_listed = session is not None and asked.agent_id in session.agents_streaming
        if is_listed and await self._is_live(known):
            return known
        await self._mirror.forget(known.stream_id)
        return None

    async def _is_live(self, known: StreamRow) -> bool:
        """Whether nobody else streams in its place; a key that may not read is not told."""
        path = path_of("sessions", known.session_id, "streams", known.stream_id)
        try:
            answer = await self._service.ask(
                "GET", path, missing="stream-not-found", repeatable=True
            )
        except KeyRefusedError:
            return True
        return answer is not None

    async def _put(self, asked: Register) -> httpx.Response:
        """Register by a name, always: its signal may be here before the answer."""
        path = path_of(
            *("sessions", asked.session_id, "agents", asked.agent_id.type, asked.agent_id.key)
        )
        body = {
            "stream_id": str(asked.stream_id),
            "worker_id": str(asked.worker_id),
            "when_busy": asked.when_busy.value,
            "alone": asked.alone,
        }
        return await self._service.must(
            "PUT", path, body=body, session_id=asked.session_id, stream_id=asked.stream_id
        )

    def _row_of(self, asked: Finish) -> StreamRow | None:
        if asked.stream_id is not None:
            return self._mirror.find(asked.stream_id)
        return self._mirror.stream_of(asked.worker_id, asked.session_id, asked.agent_id)

    async def _finish_elsewhere(self, asked: Finish) -> UUID | None:
        """End a stream by its name that is not this client's, where a caller asks for that."""
        is_callers = asked.worker_id is not None
        if not is_callers or asked.stream_id is None or self._mirror.is_signalled(asked.stream_id):
            return None
        await self._delete(asked, asked.stream_id, None)
        return asked.stream_id

    async def _delete(self, asked: Finish, stream_id: UUID, worker_id: UUID | None) -> None:
        agent_id = asked.agent_id
        path = path_of("sessions", asked.session_id, "agents", agent_id.type, agent_id.key)
        query: dict[str, Any] = {"stream_id": str(stream_id)}
        if worker_id is not None:
            query |= {"worker_id": str(worker_id), "outcome": asked.outcome.value}
            if asked.detail is not None:
                query["detail"] = asked.detail
        await self._service.must("DELETE", path, query=query, repeatable=True)

    # Workers and their signals

    async def add_worker(
        self,
        worker_id: UUID,
        host: str,
        pid: int,
        key_id: str | None = None,
        version: str | None = None,
    ) -> UUID:
        """Enter a worker, whose id the service chooses; it belongs to this client's key."""
        body = {"host": host, "pid": pid}
        answer = await self._service.must("POST", "/workers", body=body, repeatable=True, own=True)
        entered = read(_ENTERED, answer)
        self.heartbeat_interval_sec = entered.heartbeat_interval_sec
        self._mirror.enter(entered.worker_id)
        return entered.worker_id

    async def beat(self, worker_id: UUID) -> datetime | None:
        """Renew a worker's lease; returns this machine's time, for the database's is not told.

        Where the service takes the key no more, no interrupt gets here either: that is the end of
        this worker as well.
        """
        path = path_of("workers", worker_id, "heartbeat")
        try:
            await self._service.must("POST", path, repeatable=True, own=True)
        except (WorkerGoneError, KeyRefusedError):
            self._mirror.leave(worker_id)
            return None
        return datetime.now(UTC)

    async def note_wake_ups(self, worker_id: UUID, told_by: ToldBy) -> bool:
        """Nothing is kept: the service knows whom it tells."""
        return self._mirror.knows(worker_id)

    async def streams_of_worker(self, worker_id: UUID) -> WorkerStreams | None:
        """The streams that this client has registered, also where it was not told so."""
        if not self._mirror.knows(worker_id):
            return None
        signals = self._mirror.signals_of(worker_id)
        return WorkerStreams(
            live=self._mirror.streams_of(worker_id),
            signalled={signal.stream_id for signal in signals},
        )

    async def remove_worker(self, worker_id: UUID) -> Leftovers:
        if not self._mirror.knows(worker_id):
            return Leftovers()
        path = path_of("workers", worker_id)
        try:
            await self._service.must("DELETE", path, repeatable=True, own=True)
        except WorkerGoneError:
            return Leftovers()
        finally:
            streams, signals = self._mirror.leave(worker_id)
        return Leftovers(streams, signals, workers=1)

    async def unsettled_signals(self, worker_id: UUID) -> list[Signal]:
        """Those that have come."""
        return self._mirror.signals_of(worker_id)

    async def settle_signals(
        self, settlements: Sequence[Settlement], *, worker_id: UUID | None = None
    ) -> int:
        """Record what became of signals; those of a worker that is gone the service has settled."""
        of_workers: dict[UUID, list[Settlement]] = {}
        for settlement in settlements:
            own = self._mirror.worker_of(settlement.signal_id)
            if own is not None and worker_id in (None, own):
                of_workers.setdefault(own, []).append(settlement)
        settled = 0
        for own, theirs in of_workers.items():
            for begin in range(0, len(theirs), _SETTLED_AT_ONCE):
                settled += await self._settle(own, theirs[begin : begin + _SETTLED_AT_ONCE])
        return settled

    async def _settle(self, worker_id: UUID, settlements: Sequence[Settlement]) -> int:
        items = [
            {"signal_id": str(s.signal_id), "outcome": s.outcome.value, "detail": s.detail}
            for s in settlements
        ]
        path = path_of("workers", worker_id, "settlements")
        try:
            answer = await self._service.must(
                "POST", path, body={"items": items}, repeatable=True, own=True
            )
        except WorkerGoneError:
            settled = 0
        else:
            settled = read(TypeAdapter(int), answer, "settled")
        self._mirror.settled([settlement.signal_id for settlement in settlements])
        return settled

    def doorbell(
        self, worker_ids: Callable[[], Collection[UUID]], ring: Callable[[UUID], None]
    ) -> Doorbell | None:
        return Signals(self._service, self._mirrors.get, worker_ids, ring)


def _row(asked: Register) -> StreamRow:
    return StreamRow(
        asked.session_id, asked.agent_id, asked.stream_id, asked.worker_id, datetime.now(UTC)
    )
