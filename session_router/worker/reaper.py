"""The reaper: clears what dead workers left behind."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from session_router import logs
from session_router.repository.base import SessionRepository
from session_router.repository.results import Leftovers
from session_router.worker.heartbeat import Heartbeat

_THOROUGH_EVERY: Final = 10


class Reaper:
    """Takes out workers that it has seen silent for a lease, and clears their streams and signals.

    It measures the silence by its own clock: that of the database may be set, or be another one
    after a failover, and then the age of a heartbeat says nothing. So a worker is dead when
    the same heartbeat of it is read again after a lease, in which this worker's own ones succeeded.

    Every worker is also a reaper, so a pass must cost next to nothing while nobody has died: it
    reads the heartbeats. For what a reaper left that died halfway, or passed over since somebody
    held it, it looks in its first pass, after each that found something or failed, and in every
    tenth.

    Args:
        heartbeat: this worker's own; nothing is done until it has been steady for a lease.
        lease_sec: how long a worker without a heartbeat is taken for alive.
    """

    def __init__(
        self, repository: SessionRepository, heartbeat: Heartbeat, lease_sec: float
    ) -> None:
        self._repository = repository
        self._heartbeat = heartbeat
        self._lease_sec = lease_sec
        self._seen: dict[UUID, tuple[datetime, float]] = {}
        self._until_thorough = 0

    async def run_once(self) -> Leftovers:
        """One pass; returns what it cleared."""
        if not self._heartbeat.is_beating():
            self._seen.clear()  # blind to others, too
            return Leftovers()
        left, self._until_thorough = self._until_thorough, 0
        silent = self._silent(await self._repository.heartbeats())
        if not self._heartbeat.is_steady():
            return Leftovers()
        if left and not silent:
            self._until_thorough = left - 1
            return Leftovers()
        leftovers = await self._repository.reap_workers(silent)
        if leftovers == Leftovers():
            self._until_thorough = _THOROUGH_EVERY - 1
        else:
            reaped = [(worker.worker_id, worker.host, worker.pid) for worker in leftovers.reaped]
            logs.workers_reaped(reaped, leftovers.streams, leftovers.signals)
        return leftovers

    def _silent(self, beats: Mapping[UUID, datetime]) -> dict[UUID, datetime]:
        """Which workers' heartbeats have stood for a lease; for each, since when is kept."""
        now, before = self._heartbeat.clock(), self._seen
        self._seen = {
            worker_id: before[worker_id]
            if worker_id in before and before[worker_id][0] == beat
            else (beat, now)
            for worker_id, beat in beats.items()
        }
        return {
            worker_id: beat
            for worker_id, (beat, since) in self._seen.items()
            if now - since >= self._lease_sec
        }
