"""This process as a worker: what it consists of, from its start to its shutdown."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

from session_router import logs
from session_router.doorbell import WakeUps
from session_router.repository.base import SessionRepository
from session_router.runtime import AgentRuntime
from session_router.settings import Tuning
from session_router.worker.delivery import Delivery
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.heartbeat import Heartbeat
from session_router.worker.incarnation import Incarnation
from session_router.worker.jobs import Jobs
from session_router.worker.lease import Lease
from session_router.worker.local_streams import LocalStreams
from session_router.worker.polling import Polling
from session_router.worker.reaper import Reaper
from session_router.worker.reconciler import Reconciler
from session_router.worker.registrar import Registrar
from session_router.worker.succession import Succession
from session_router.worker.supervisor import LONGEST_BLIND_SEC, Job
from session_router.worker.sweeper import Sweeper


class Worker:
    """The part of a manager that is in this process and this event loop, and nowhere else.

    Args:
        repository: where everything is kept.
        runtime: what hosts this process's agents.
        idle_for: how long a session is idle when it expires.
        sweep_interval_sec: the pause between two sweeps, in seconds.
        tuning: the further intervals and limits.
        ring: called with each other worker that a change made here has a signal for.

    Attributes:
        repository: as given.
        incarnation: what it is among the workers at present.
        registrar: registers its streams.
        dispatcher: carries out signals for this worker.
        reconciler: ends its streams in the database.
        sweeper: deletes expired sessions.
    """

    def __init__(
        self,
        repository: SessionRepository,
        runtime: AgentRuntime,
        idle_for: timedelta,
        sweep_interval_sec: float,
        tuning: Tuning,
        ring: Callable[[UUID], None],
    ) -> None:
        self.repository = repository
        self._tuning = tuning
        self._streams = LocalStreams()
        self.incarnation = Incarnation(repository)
        self.reconciler = Reconciler(repository, self.incarnation, self._streams)
        delivery = Delivery(self._streams, runtime, tuning.cancel_timeout_sec, self.reconciler)
        self.dispatcher = Dispatcher(repository, self.incarnation, delivery, ring)
        signalled = asyncio.Event()
        doorbell = repository.doorbell(
            lambda: [self.incarnation.worker_id], lambda _: signalled.set()
        )
        self._polling = Polling(
            repository, self.incarnation, self.dispatcher, doorbell, signalled, tuning
        )
        succession = Succession(self.incarnation, self._streams, self.dispatcher, doorbell)
        heartbeat = Heartbeat(repository, tuning.lease_sec, idle_for.total_seconds())
        lease = Lease(self.incarnation, heartbeat, succession)
        self.sweeper = Sweeper(
            repository, self.incarnation, self.dispatcher, lease, idle_for, tuning
        )
        reaper = Reaper(repository, heartbeat, tuning.lease_sec)
        serving = [
            Job(
                "heartbeat",
                lease.renew,
                lambda: repository.heartbeat_interval_sec or tuning.heartbeat_interval_sec,
                longest_retry_sec=tuning.heartbeat_interval_sec,
            ),
            Job(
                "dispatch",
                self._polling.run_once,
                self._polling.pause_sec,
                signalled,
                longest_retry_sec=LONGEST_BLIND_SEC,
            ),
            Job("reconcile", self.reconciler.run_once, lambda: tuning.lease_sec),
        ]
        if doorbell is not None:
            listen = Job(
                "listen",
                doorbell.run_once,
                lambda: doorbell.retry_sec,
                longest_retry_sec=LONGEST_BLIND_SEC,
                outage=doorbell.outage,
            )
            serving.append(listen)
        cleaning = [
            Job("sweep", self.sweeper.run_once, lambda: sweep_interval_sec),
            Job("reap", reaper.run_once, lambda: tuning.lease_sec / 3),
        ]
        self._jobs = Jobs(
            lease,
            serving,
            cleaning if repository.is_cleaned_by_workers else [],
            repository.outage,
        )
        self.registrar = Registrar(
            repository,
            self.incarnation,
            self._streams,
            self.reconciler,
            self.dispatcher,
            self._jobs,
            succession,
            tuning.cancel_timeout_sec,
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def wake_ups(self) -> WakeUps:
        """How it learns of its signals at the moment."""
        return self._polling.wake_ups

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

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that ends with this worker at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        answers = await asyncio.gather(self.dispatcher.run_once(), *stops, return_exceptions=True)
        for error in answers:
            if isinstance(error, Exception):
                raise error

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.dispatcher.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
