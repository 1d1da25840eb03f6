"""What a client knows of its workers: which streams it has registered, and which signals came."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

from session_router.agent_id import AgentId
from session_router.repository.records import Signal, StreamRow

_DOUBT_SEC: Final = 60.0
_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class _Held:
    """A stream that the service may have.

    Attributes:
        doubted_at: when its registration was left without an answer; None: it has it for sure.
    """

    row: StreamRow
    doubted_at: float | None


class Mirror:
    """The streams and signals of the workers that one client has entered, without asking anybody.

    A registration that was not answered is in doubt: it may happen yet, for as long as the service
    may take, and is told until then, so that it is ended whenever it comes to be.
    """

    def __init__(self) -> None:
        self._workers: set[UUID] = set()
        self._streams: dict[UUID, _Held] = {}
        self._signals: dict[UUID, Signal] = {}
        self._settled: dict[UUID, None] = {}
        self._turns = WeakValueDictionary[tuple[str, AgentId], asyncio.Lock]()
        self._changed = asyncio.Condition()

    # Workers

    def enter(self, worker_id: UUID) -> None:
        self._workers.add(worker_id)

    def knows(self, worker_id: UUID) -> bool:
        return worker_id in self._workers

    def leave(self, worker_id: UUID) -> tuple[int, int]:
        """Forget a worker that is no more; returns how many streams and signals it had left."""
        self._workers.discard(worker_id)
        streams = [row.stream_id for row in self.streams_of(worker_id)]
        signals = [signal.signal_id for signal in self.signals_of(worker_id)]
        for stream_id in streams:
            del self._streams[stream_id]
        for signal_id in signals:
            del self._signals[signal_id]
        return len(streams), len(signals)

    # Streams

    def turn(self, session_id: str, agent_id: AgentId) -> asyncio.Lock:
        """Held while an agent is registered, so that a repetition meanwhile finds its stream."""
        return self._turns.setdefault((session_id, agent_id), asyncio.Lock())

    def doubt(self, row: StreamRow) -> None:
        """A registration is on its way."""
        self._streams[row.stream_id] = _Held(row, asyncio.get_running_loop().time())

    def hold(self, stream_id: UUID) -> None:
        """It was answered; a signal that came sooner has taken the stream out already."""
        if stream_id in self._streams:
            self._streams[stream_id].doubted_at = None

    async def drop(self, stream_id: UUID) -> None:
        """The service has it no more; one in doubt may come to be after that."""
        held = self._streams.get(stream_id)
        if held is None:
            return
        now = asyncio.get_running_loop().time()
        if held.doubted_at is None or now - held.doubted_at >= _DOUBT_SEC:
            await self.forget(stream_id)

    async def forget(self, stream_id: UUID) -> None:
        """It was never registered, or is no more."""
        self._streams.pop(stream_id, None)
        async with self._changed:
            self._changed.notify_all()

    def find(self, stream_id: UUID | None) -> StreamRow | None:
        held = self._streams.get(stream_id) if stream_id else None
        return held.row if held else None

    def streams_of(self, worker_id: UUID | None) -> list[StreamRow]:
        return [held.row for held in self._streams.values() if held.row.worker_id == worker_id]

    def stream_of(
        self, worker_id: UUID | None, session_id: str, agent_id: AgentId
    ) -> StreamRow | None:
        """The stream of an agent that this worker has for sure."""
        for held in self._streams.values():
            row = held.row
            is_it = (row.worker_id, row.session_id, row.agent_id) == (
                worker_id,
                session_id,
                agent_id,
            )
            if is_it and held.doubted_at is None:
                return row
        return None

    def streaming(self, session_id: str) -> set[UUID]:
        """What streams in a session, as far as this client has registered it."""
        held = self._streams.values()
        return {each.row.stream_id for each in held if each.row.session_id == session_id}

    # Signals

    async def take(self, signal: Signal) -> bool:
        """Take in a signal; returns whether it is not known yet, nor settled."""
        if signal.signal_id in self._signals or signal.signal_id in self._settled:
            return False
        self._signals[signal.signal_id] = signal
        await self.forget(signal.stream_id)
        return True

    def worker_of(self, signal_id: UUID) -> UUID | None:
        signal = self._signals.get(signal_id)
        return signal.worker_id if signal else None

    def settled(self, signal_ids: Collection[UUID]) -> None:
        """Forget them; they may be told once more, by an answer that was on its way."""
        for signal_id in signal_ids:
            self._signals.pop(signal_id, None)
            self._settled[signal_id] = None
        while len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]

    def signals_of(self, worker_id: UUID) -> list[Signal]:
        return [signal for signal in self._signals.values() if signal.worker_id == worker_id]

    def is_signalled(self, stream_id: UUID) -> bool:
        return any(signal.stream_id == stream_id for signal in self._signals.values())

    async def arrived(self, stream_ids: Collection[UUID], within_sec: float) -> list[Signal]:
        """Wait until the signals to these streams are here, or the time is over."""
        try:
            async with asyncio.timeout(within_sec), self._changed:
                await self._changed.wait_for(lambda: not self._streams.keys() & stream_ids)
        except TimeoutError:
            pass
        return [signal for signal in self._signals.values() if signal.stream_id in stream_ids]
