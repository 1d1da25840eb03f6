"""The reaper: clears what dead workers left behind."""

from datetime import timedelta

from session_router import logs
from session_router.maintenance.heartbeat import Heartbeat
from session_router.repository.base import Cleared, SessionRepository


async def reap(repository: SessionRepository, heartbeat: Heartbeat, lease: timedelta) -> Cleared:
    """Take out workers whose lease has run out, and clear their streams and signals.

    Does nothing until this worker's own heartbeat has been steady for one lease.
    """
    if not heartbeat.is_steady():
        return Cleared()
    cleared = await repository.reap_workers(lease)
    if cleared != Cleared():
        logs.workers_reaped(cleared.workers, cleared.streams, cleared.signals)
    return cleared
