"""The lease of this process's incarnation: renewed by heartbeats, lost by a reaping."""

from datetime import timedelta

from session_router.worker.heartbeat import Heartbeat
from session_router.worker.incarnation import Incarnation
from session_router.worker.succession import Succession


class Lease:
    """Renews the lease, and begins anew where it is lost.

    Args:
        incarnation: whose lease; it is entered where it was not.
        heartbeat: what renews it.
        succession: goes on as a new incarnation where this one was reaped.

    Attributes:
        is_kept: whether a job renews it.
    """

    def __init__(
        self, incarnation: Incarnation, heartbeat: Heartbeat, succession: Succession
    ) -> None:
        self._incarnation = incarnation
        self._heartbeat = heartbeat
        self._succession = succession
        self.is_kept = False

    async def renew(self) -> None:
        """Give one heartbeat."""
        worker_id = await self._incarnation.enter()
        if not await self._heartbeat.beat(worker_id):
            await self._succession.begin_anew(worker_id)

    async def clock_step(self) -> timedelta:
        """How far the database's clock was set forward of late, by a reading made now.

        Zero for a worker that gives no heartbeats: it has seen nothing to compare with.
        """
        if self.is_kept:
            await self.renew()
        return self._heartbeat.clock_step()
