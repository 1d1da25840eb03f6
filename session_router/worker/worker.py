"""This process as a worker: its incarnation, what streams in it, its jobs and its tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from session_router import logs
from session_router.agent_id import AgentId, AgentIdLike
from session_router.events import StreamOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.records import Signal
from session_router.runtime import AgentRuntime
from session_router.settings import Tuning
from session_router.worker.delivery import Delivery
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.endings import Ending
from session_router.worker.incarnation import Incarnation
from session_router.worker.jobs import Jobs
from session_router.worker.listener import WakeUps
from session_router.worker.local_streams import LocalStream, LocalStreams, Stop


class Worker:
    """The part of a manager that is here and nowhere else.

    Args:
        repository: where everything is kept.
        runtime: what hosts this process's agents.
        sweep: one pass over expired sessions, to be run every `sweep_interval_sec` seconds.
        idle_for_sec: how long a session is idle when it expires.
        tuning: the intervals and limits.

    Attributes:
        incarnation: what it is among the workers at present.
    """

    def __init__(
        self,
        repository: SessionRepository,
        runtime: AgentRuntime,
        sweep: Callable[[], Awaitable[Any]],
        sweep_interval_sec: float,
        idle_for_sec: float,
        tuning: Tuning,
    ) -> None:
        self._repository = repository
        self._tuning = tuning
        self._streams = LocalStreams()
        self.incarnation = Incarnation(repository, self._streams, self._lose)
        delivery = Delivery(
            self._streams, runtime, tuning.cancel_timeout_sec, self.incarnation.reconcile
        )
        self._dispatcher = Dispatcher(repository, delivery)
        self._jobs = Jobs(
            repository,
            self.incarnation,
            self._dispatcher,
            sweep,
            sweep_interval_sec,
            idle_for_sec,
            tuning,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def wake_ups(self) -> WakeUps:
        """How it learns of its signals at the moment."""
        return self._jobs.wake_ups

    async def clock_step(self) -> timedelta:
        """How far the database's clock was set forward of late; see `Jobs.clock_step`."""
        return await self._jobs.clock_step()

    async def start(self) -> None:
        """Enter the worker and run its jobs; does nothing where they run."""
        await self.incarnation.enter()
        self._jobs.start_serving()
        self._jobs.start_cleaning()

    async def shutdown(self) -> None:
        """Stop the jobs, end the streams, settle the signals, give up the row: in bounded time.

        Half of that time is over at the latest when agents that are slow to stop are left to
        themselves, so that the rest is left for what the other workers should learn. Who registers
        meanwhile is refused.
        """
        began, limit = asyncio.get_running_loop().time(), self._tuning.shutdown_timeout_sec
        with self.incarnation.leaving():
            await self._step(began + limit / 4, self._jobs.stop)
            await self._step(began + limit / 2, self._deliver_and_stop)
            await self._step(began + limit * 7 / 8, self.incarnation.leave)
            await self._step(began + limit, self._end_tasks)
            for stream in self._streams.all():
                self._streams.leave(stream.stream_id)

    async def register(
        self,
        session_id: str,
        agent_id: AgentIdLike,
        stream_id: UUID,
        *,
        renew: bool,
        stop: Stop | None = None,
    ) -> UUID:
        """Register a stream; see `Incarnation.register`. Returns the one that streams now."""
        await self.incarnation.enter()  # refuses while it leaves, when no job may begin
        self._jobs.start_serving()
        registration = await self.incarnation.register(
            session_id, agent_id, stream_id, renew=renew, stop=stop
        )
        if registration.superseded is not None:
            # Whoever takes a stream over does not wait for the old one to close.
            self.begin([registration.superseded])
        return registration.stream_id

    async def dispatch_once(self) -> int:
        """Carry out and settle what is in the outbox for this worker; returns how many signals."""
        return await self._dispatcher.run_once(self.incarnation.worker_id)

    async def deliver(self, signals: Iterable[Signal]) -> None:
        """Carry out those of the signals that are for this worker, and settle them.

        The others' are in the outbox, where their workers find them.
        """
        await self._dispatcher.deliver(self._own(signals))

    def begin(self, signals: Iterable[Signal]) -> None:
        """The same, without waiting for it."""
        self._dispatcher.begin(self._own(signals))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that ends with this worker at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _own(self, signals: Iterable[Signal]) -> list[Signal]:
        return [signal for signal in signals if signal.worker_id == self.incarnation.worker_id]

    def _lose(self, streams: list[LocalStream]) -> None:
        """This worker was reaped: what it streams is nobody's business any more."""
        for stream in streams:
            self._dispatcher.cancel(stream)
        self._jobs.follow_worker()

    async def _step(self, until: float, work: Callable[[], Awaitable[None]]) -> None:
        """One step of the shutdown; what goes wrong in it is logged, and the next one is made."""
        try:
            async with asyncio.timeout_at(until):
                await work()
        except Exception as error:  # a bug must not keep the row, and so the streams, either
            logs.shutdown_incomplete(self.incarnation.worker_id, error)

    async def _deliver_and_stop(self) -> None:
        """Iterators stop without the database, and whether it answers or not."""
        stops = [stream.stop() for stream in self._streams.all() if stream.stop]
        answers = await asyncio.gather(self.dispatch_once(), *stops, return_exceptions=True)
        for error in answers:
            if isinstance(error, Exception):
                raise error

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._dispatcher.close()
        if self._tasks:
            await asyncio.wait(self._tasks)


class BoundKeeper:
    """What a stream needs of its worker, bound to its session and agent."""

    def __init__(
        self,
        process: Callable[[], Worker],
        repository: SessionRepository,
        session_id: str,
        agent_id: AgentIdLike,
    ) -> None:
        self._process = process
        self._repository = repository
        self._session_id = session_id
        self._agent_id = agent_id

    async def register(self, stream_id: UUID, stop: Stop) -> None:
        await self._process().register(
            self._session_id, self._agent_id, stream_id, renew=True, stop=stop
        )

    def ending(
        self, stream_id: UUID, outcome: StreamOutcome, detail: str | None, tried: asyncio.Event
    ) -> Ending:
        agent_id = AgentId.of(self._agent_id)
        ending = Ending(self._session_id, agent_id, stream_id, outcome, detail, tried)
        self._process().incarnation.endings.add(ending)
        return ending

    def cede(self, stream_id: UUID) -> None:
        self._process().incarnation.endings.remove(stream_id)

    async def finish(self, ending: Ending) -> StreamOutcome | None:
        return await self._process().incarnation.finish_ending(ending)

    async def touch(self) -> None:
        await self._repository.touch_session(self._session_id)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._process().spawn(work)
