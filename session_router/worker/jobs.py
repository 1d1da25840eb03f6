"""A worker's background jobs: which there are, how often they run, and what wakes them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from session_router.repository.base import SIGNALS_READ, SessionRepository
from session_router.settings import Tuning
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.heartbeat import Heartbeat
from session_router.worker.incarnation import Incarnation
from session_router.worker.listener import Listener, WakeUps
from session_router.worker.reaper import Reaper
from session_router.worker.supervisor import Job, Supervisor

_LONGEST_BLIND_SEC: Final = 2.0
_NO_NOTIFICATIONS: Final = WakeUps("polling", "this database sends no notifications")


class Jobs:
    """Heartbeat, dispatcher and listener for a worker that streams; sweep and reaper for all.

    Args:
        sweep: one pass over expired sessions.
        sweep_interval_sec: the pause between two.
        idle_for_sec: how long a session is idle when it expires.
    """

    def __init__(
        self,
        repository: SessionRepository,
        worker: Incarnation,
        dispatcher: Dispatcher,
        sweep: Callable[[], Awaitable[Any]],
        sweep_interval_sec: float,
        idle_for_sec: float,
        tuning: Tuning,
    ) -> None:
        self._worker = worker
        self._dispatcher = dispatcher
        self._tuning = tuning
        self._heartbeat = Heartbeat(repository, tuning.lease_sec, idle_for_sec)
        self._reaper = Reaper(repository, self._heartbeat, tuning.lease_sec)
        self._signalled = asyncio.Event()
        self._listener: Listener | None = None
        if repository.listening_engine() is not None:
            self._listener = Listener(repository, lambda: worker.worker_id, self._signalled.set)
        self._sweep = Job("sweep", sweep, lambda: sweep_interval_sec)
        self._supervisor = Supervisor()
        self._is_serving = False

    @property
    def wake_ups(self) -> WakeUps:
        """How this worker learns of its signals at the moment."""
        return self._listener.wake_ups if self._listener else _NO_NOTIFICATIONS

    def start_serving(self) -> None:
        """What a worker with streams needs; does nothing where it runs: each registration asks."""
        if self._is_serving:
            return
        self._is_serving = True
        tuning = self._tuning
        # After an outage these two must not be the last to notice that it is over.
        self._supervisor.start(
            Job(
                "heartbeat",
                self._beat,
                lambda: tuning.heartbeat_interval_sec,
                longest_retry_sec=tuning.heartbeat_interval_sec,
            )
        )
        self._supervisor.start(
            Job(
                "dispatch",
                self._poll,
                self._poll_pause,
                self._signalled,
                longest_retry_sec=_LONGEST_BLIND_SEC,
            )
        )
        if (listener := self._listener) is not None:
            self._supervisor.start(Job("listen", listener.run_once, lambda: listener.retry_sec))

        self._supervisor.start(Job("reconcile", self._worker.reconcile, lambda: tuning.lease_sec))

    def start_cleaning(self) -> None:
        """What any of the workers must do for all; does nothing where it runs."""
        self._supervisor.start(self._sweep)
        self._supervisor.start(
            Job("reap", self._reaper.run_once, lambda: self._tuning.lease_sec / 3)
        )

    def follow_worker(self) -> None:
        """Listen for the new incarnation, and look at once whether it has signals."""
        if self._listener is not None:
            self._listener.follow_worker()
        self._signalled.set()

    async def clock_step(self) -> timedelta:
        """How far the database's clock was set forward of late, by a reading made now.

        Zero for a worker that gives no heartbeats: it has seen nothing to compare with.
        """
        if self._is_serving:
            await self._beat()
        return self._heartbeat.clock_step()

    async def stop(self) -> None:
        """End all jobs; `start_serving` and `start_cleaning` work again afterwards."""
        self._is_serving = False
        await self._supervisor.stop()

    async def _beat(self) -> None:
        worker_id = await self._worker.enter()
        if not await self._heartbeat.beat(worker_id):
            await self._worker.begin_anew(worker_id)

    async def _poll(self) -> None:
        tasks = await self._dispatcher.poll(self._worker.worker_id)
        if len(tasks) >= SIGNALS_READ:
            # There may be more; they come to light when these are settled.
            await asyncio.wait(tasks)
            self._signalled.set()

    def _poll_pause(self) -> float:
        if self.wake_ups.mode == "listening":
            return self._tuning.listening_poll_interval_sec
        return self._tuning.poll_interval_sec
