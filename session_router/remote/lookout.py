"""How this process learns of the signals of all remote workers that are connected to it."""

import asyncio
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final
from uuid import UUID

from session_router.repository.base import SessionRepository
from session_router.repository.records import Signal
from session_router.repository.results import SIGNALS_READ
from session_router.settings import Tuning
from session_router.worker.supervisor import LONGEST_BLIND_SEC, Job, Supervisor

_AT_ONCE: Final = 500
"""How many workers one query is about."""


class Lookout:
    """Looks for signals: of those who are rung for at once, of all from time to time.

    Args:
        repository: where the outbox is.
        tuning: how often to look for all, beside a doorbell and without one.
        worker_ids: gives whom it is for at the moment.
        ready: gives those of them who take what is found.
        hand_out: called with each worker that was looked at, and its unsettled signals; None in
            their place where the worker has no row.
    """

    def __init__(
        self,
        repository: SessionRepository,
        tuning: Tuning,
        worker_ids: Callable[[], Collection[UUID]],
        ready: Callable[[], Collection[UUID]],
        hand_out: Callable[[UUID, list[Signal] | None], None],
    ) -> None:
        self._repository = repository
        self._tuning = tuning
        self._ready = ready
        self._hand_out = hand_out
        self._due: set[UUID] = set()
        self._wake = asyncio.Event()
        self._all_due_at = 0.0
        self._doorbell = repository.doorbell(worker_ids, self.look_at)
        self._supervisor = Supervisor(repository.outage)

    def start(self) -> None:
        """Begin to look."""
        job = Job(
            "dispatch to remote workers",
            self.run_once,
            self._pause_sec,
            self._wake,
            longest_retry_sec=LONGEST_BLIND_SEC,
        )
        self._supervisor.start(job)
        if (bell := self._doorbell) is not None:
            listen = Job(
                "listen for remote workers",
                bell.run_once,
                lambda: bell.retry_sec,
                longest_retry_sec=LONGEST_BLIND_SEC,
                outage=bell.outage,
            )
            self._supervisor.start(listen)

    async def stop(self) -> None:
        """Look no more."""
        await self._supervisor.stop()

    def follow(self) -> None:
        """Note that it is for others from now on."""
        if self._doorbell is not None:
            self._doorbell.follow()

    def look_at(self, worker_id: UUID) -> None:
        """Look for this worker's signals now."""
        self._due.add(worker_id)
        self._wake.set()

    async def run_once(self) -> None:
        """Look for those who are due."""
        is_for_all = self._now() >= self._all_due_at
        if is_for_all:
            self._due.update(self._ready())
        full: set[UUID] = set()
        while self._due:
            full |= await self._look(set(islice(self._due, _AT_ONCE)))
        # What is behind the signals that were read comes to light when these are settled.
        self._due |= full
        if is_for_all:
            self._all_due_at = self._now() + self._interval_sec()

    async def _look(self, worker_ids: set[UUID]) -> set[UUID]:
        """Look for these; returns those who may have more than was read."""
        self._due -= worker_ids  # who is rung for from now on is due again
        try:
            found = await self._repository.unsettled_signals_of(worker_ids)
        except BaseException:
            self._due |= worker_ids
            raise
        for worker_id in worker_ids:
            self._hand_out(worker_id, found.get(worker_id))
        return {worker_id for worker_id, read in found.items() if len(read) >= SIGNALS_READ}

    def _pause_sec(self) -> float:
        """How long to wait until the next look, unless woken."""
        until_all = max(self._all_due_at - self._now(), 0.0)
        return min(until_all, self._tuning.poll_interval_sec) if self._due else until_all

    def _interval_sec(self) -> float:
        if self._doorbell is not None and self._doorbell.wake_ups.mode == "listening":
            return self._tuning.listening_poll_interval_sec
        return self._tuning.poll_interval_sec

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
