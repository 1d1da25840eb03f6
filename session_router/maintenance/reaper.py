"""The reaper: clears what dead workers left behind."""

from datetime import timedelta
from typing import Final

from session_router import logs
from session_router.maintenance.heartbeat import Heartbeat
from session_router.repository.base import Cleared, SessionRepository

_THOROUGH_EVERY: Final = 10


class Reaper:
    """Takes out workers whose lease has run out, and clears their streams and signals.

    Every worker is also a reaper, so a pass must cost next to nothing while nobody has died: it
    asks whether a lease has run out. For what a reaper left that died halfway, or passed over
    since somebody held it, it looks in its first pass, after each that found something or failed,
    and in every tenth.

    Args:
        heartbeat: this worker's own; nothing is done until it has been steady for a lease.
        lease_sec: how long a worker without a heartbeat is taken for alive.
    """

    def __init__(
        self, repository: SessionRepository, heartbeat: Heartbeat, lease_sec: float
    ) -> None:
        self._repository = repository
        self._heartbeat = heartbeat
        self._lease = timedelta(seconds=lease_sec)
        self._until_thorough = 0

    async def run_once(self) -> Cleared:
        """One pass; returns what it cleared."""
        if not self._heartbeat.is_steady():
            return Cleared()
        left, self._until_thorough = self._until_thorough, 0
        cleared = await self._repository.reap_workers(self._lease, thorough=left == 0)
        if cleared == Cleared():
            self._until_thorough = left - 1 if left else _THOROUGH_EVERY - 1
        else:
            logs.workers_reaped(cleared.workers, cleared.streams, cleared.signals)
        return cleared
