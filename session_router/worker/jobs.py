"""A worker's background jobs: those that its streams need, and those that all workers share."""

from collections.abc import Sequence

from session_router.outages import Outage
from session_router.worker.lease import Lease
from session_router.worker.supervisor import Job, Supervisor


class Jobs:
    """Starts and stops the jobs.

    Args:
        lease: one of the serving jobs renews it.
        serving: what a worker with streams needs.
        cleaning: what any of the workers must do for all.
        outage: of what they all need.
    """

    def __init__(
        self, lease: Lease, serving: Sequence[Job], cleaning: Sequence[Job], outage: Outage
    ) -> None:
        self._lease = lease
        self._serving = serving
        self._cleaning = cleaning
        self._supervisor = Supervisor(outage)

    def start_serving(self) -> None:
        """What a worker with streams needs; does nothing where it runs: each registration asks."""
        if not self._lease.is_kept:
            self._lease.is_kept = True
            self._start(self._serving)

    def start_cleaning(self) -> None:
        """What any of the workers must do for all; does nothing where it runs."""
        self._start(self._cleaning)

    async def stop(self) -> None:
        """End all jobs; `start_serving` and `start_cleaning` work again afterwards."""
        self._lease.is_kept = False
        await self._supervisor.stop()

    def _start(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._supervisor.start(job)
