"""The dispatcher: reads this worker's signals, has each carried out once, and settles it."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID, uuid4

from session_router import logs
from session_router.errors import RefusedError
from session_router.events import SignalAction
from session_router.repository.base import SessionRepository
from session_router.repository.records import Settlement, Signal
from session_router.text import with_storable
from session_router.worker.delivery import Delivery
from session_router.worker.incarnation import Incarnation
from session_router.worker.local_streams import LocalStream


class Dispatcher:
    """Carries out signals, whether read from the outbox or handed over after a commit.

    Each signal is delivered once in this process, however often it is read: while it is being
    carried out it is in hand; when it is carried out but could not be settled, for the database
    was away, it is only settled the next time.

    Args:
        repository: where the outbox is.
        incarnation: whose signals.
        delivery: what stops a stream here.
        ring: called with each other worker that a change made here has a signal for.
    """

    def __init__(
        self,
        repository: SessionRepository,
        incarnation: Incarnation,
        delivery: Delivery,
        ring: Callable[[UUID], None] = lambda _: None,
    ) -> None:
        self._repository = repository
        self._incarnation = incarnation
        self._delivery = delivery
        self._ring = ring
        self._in_hand: dict[UUID, asyncio.Task[None]] = {}
        self._carried_out: dict[UUID, Settlement] = {}
        self._settled_since_read: set[UUID] = set()
        self._reading = asyncio.Lock()
        self._settling = asyncio.Lock()
        self._cancelling: set[asyncio.Task[Settlement]] = set()

    async def run_once(self) -> int:
        """Deliver and settle what is in the worker's outbox now; returns how many signals."""
        tasks = await self.poll()
        if tasks:
            await asyncio.wait(tasks)
        return len(tasks)

    async def poll(self) -> list[asyncio.Task[None]]:
        """Begin with what is in the worker's outbox now; an agent that hangs holds up nobody."""
        async with self._reading:
            self._settled_since_read.clear()
            read = await self._repository.unsettled_signals(self._incarnation.worker_id)
            # What was settled while the answer was on its way still stands in it.
            return self.begin(s for s in read if s.signal_id not in self._settled_since_read)

    def begin(self, signals: Iterable[Signal]) -> list[asyncio.Task[None]]:
        """Begin to deliver those of the signals that are for this worker.

        The others' are in the outbox, where their workers find them: this only rings for those.

        Returns:
            A task for each, owned by this object.
        """
        own, tasks = self._incarnation.worker_id, []
        for signal in signals:
            if signal.worker_id == own:
                tasks.append(self._in_hand.get(signal.signal_id) or self._take_in_hand(signal))
            else:
                self._ring(signal.worker_id)
        return tasks

    async def deliver(self, signals: Iterable[Signal]) -> None:
        """The same, and wait until they are settled, or overdue."""
        if tasks := self.begin(signals):
            await asyncio.wait(tasks)

    def cancel(self, stream: LocalStream) -> None:
        """Cancel a stream that this worker has lost: there is no signal, so nothing to settle."""
        order = self._delivery.carry_out(uuid4(), stream.stream_id, SignalAction.CANCEL)
        task = asyncio.create_task(order, name=f"lost stream {stream.stream_id}")
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def close(self) -> None:
        """Cancel what is still in hand: its row is settled already, or its worker's reaper will."""
        for task in (*self._in_hand.values(), *self._cancelling):
            task.cancel()
        while self._in_hand or self._cancelling:
            await asyncio.wait([*self._in_hand.values(), *self._cancelling])
        await self._delivery.close()

    def _take_in_hand(self, signal: Signal) -> asyncio.Task[None]:
        task = asyncio.create_task(self._handle(signal), name=f"signal {signal.signal_id}")
        self._in_hand[signal.signal_id] = task
        task.add_done_callback(lambda _: self._in_hand.pop(signal.signal_id))
        return task

    async def _handle(self, signal: Signal) -> None:
        if signal.signal_id not in self._carried_out:
            settlement = await self._delivery.carry_out(
                signal.signal_id, signal.stream_id, signal.action
            )
            self._carried_out[signal.signal_id] = settlement
            logs.signal_settled(
                signal.stream_id,
                signal.session_id,
                signal.agent_id,
                settlement.outcome,
                settlement.detail,
            )
        await self._settle()

    async def _settle(self) -> None:
        """Settle all that is carried out, in one transaction; who comes meanwhile waits his turn.

        A failure is left to the next poll, which finds the rows still there.
        """
        async with self._settling:
            batch = list(self._carried_out.values())
            if not batch:
                return
            try:
                await self._settle_batch(batch)
            except Exception as error:  # whatever it meets: the next poll tries again
                logs.settle_failed(len(batch), error)

    async def _settle_batch(self, batch: list[Settlement]) -> None:
        try:
            await self._repository.settle_signals(batch)
        except RefusedError:
            for settlement in batch:  # one that is refused holds up no other
                await self._settle_alone(settlement)
        else:
            self._forget(batch)

    async def _settle_alone(self, settlement: Settlement) -> None:
        try:
            await with_storable(
                lambda told: self._repository.settle_signals([replace(settlement, detail=told)]),
                settlement.detail,
            )
        except RefusedError as error:
            logs.settle_failed(1, error)
        else:
            self._forget([settlement])

    def _forget(self, settled: list[Settlement]) -> None:
        for settlement in settled:
            self._settled_since_read.add(settlement.signal_id)
            del self._carried_out[settlement.signal_id]
