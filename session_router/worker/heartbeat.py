"""The heartbeat: a worker's proof of life, and how steady it has been."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from session_router.repository.base import SessionRepository
from session_router.worker.clock_steps import ClockSteps


def _uptime() -> float:
    """Linux's monotonic clock stands still while the machine is suspended; leases do not."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Heartbeat:
    """Renews a worker's lease, and learns in passing what the database's clock does.

    Args:
        repository: where the workers' rows are.
        lease_sec: how long a worker without a heartbeat is taken for alive.
        step_window_sec: for how long a step of the database's clock counts.
        clock: seconds that only go forward, also while the machine sleeps.
    """

    def __init__(
        self,
        repository: SessionRepository,
        lease_sec: float,
        step_window_sec: float,
        clock: Callable[[], float] = _uptime,
    ) -> None:
        self.clock = clock
        self._repository = repository
        self._lease_sec = lease_sec
        self._steps = ClockSteps(step_window_sec)
        self._last: float | None = None
        self._steady_since: float | None = None

    async def beat(self, worker_id: UUID) -> bool:
        """Renew the lease; returns False when the worker has been reaped.

        Raises:
            DatabaseError: the lease was not renewed; the steadiness is over.
        """
        asked = self.clock()
        try:
            told = await self._repository.beat(worker_id)
        except BaseException:
            self._last = None
            raise
        now = self.clock()
        if self._last is None or now - self._last > self._lease_sec / 2:
            self._steady_since = now
        self._last = now
        if told is None:
            return False
        self._steps.read(asked, told, now)
        return True

    def is_beating(self) -> bool:
        """Whether the last heartbeat succeeded, less than half a lease ago."""
        return self._last is not None and self.clock() - self._last <= self._lease_sec / 2

    def is_steady(self) -> bool:
        """Whether heartbeats have succeeded without a gap for one lease.

        Only then may a worker reap others: whoever lives has then had the time for a heartbeat,
        so that an outage of the database, or a pause of this machine, kills nobody.
        """
        if self._steady_since is None or not self.is_beating():
            return False
        return self.clock() - self._steady_since >= self._lease_sec

    def clock_step(self) -> timedelta:
        """How far the database's clock was set forward of late, as the last heartbeat found it."""
        return self._steps.forward
