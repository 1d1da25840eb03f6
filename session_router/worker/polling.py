"""How a worker learns of its signals: it is woken, and looks from time to time besides."""

import asyncio
from typing import Final
from uuid import UUID

from session_router.doorbell import Doorbell, WakeMode, WakeUps
from session_router.repository.base import SessionRepository
from session_router.repository.results import SIGNALS_READ
from session_router.settings import Tuning
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.incarnation import Incarnation

_NO_NOTIFICATIONS: Final = WakeUps("polling", "this database sends no notifications")


class Polling:
    """Looks for signals, more seldom while a doorbell wakes it.

    Args:
        repository: is told how the worker learns of them, for others to see.
        incarnation: the worker.
        dispatcher: reads them and carries them out.
        doorbell: wakes it; None where the database sends no notifications.
        signalled: set when there may be signals for this worker.
    """

    def __init__(
        self,
        repository: SessionRepository,
        incarnation: Incarnation,
        dispatcher: Dispatcher,
        doorbell: Doorbell | None,
        signalled: asyncio.Event,
        tuning: Tuning,
    ) -> None:
        self._repository = repository
        self._incarnation = incarnation
        self._dispatcher = dispatcher
        self._doorbell = doorbell
        self._signalled = signalled
        self._tuning = tuning
        self._noted: tuple[UUID, WakeMode] | None = None

    @property
    def wake_ups(self) -> WakeUps:
        """How this worker learns of its signals at the moment."""
        return self._doorbell.wake_ups if self._doorbell else _NO_NOTIFICATIONS

    def pause_sec(self) -> float:
        """How long to wait until the next look, unless woken."""
        if self.wake_ups.mode == "listening":
            return self._tuning.listening_poll_interval_sec
        return self._tuning.poll_interval_sec

    async def run_once(self) -> None:
        """Begin with what is in the outbox now."""
        tasks = await self._dispatcher.poll()
        if len(tasks) >= SIGNALS_READ:
            # There may be more; they come to light when these are settled.
            await asyncio.wait(tasks)
            self._signalled.set()
        await self._note_wake_ups()

    async def _note_wake_ups(self) -> None:
        """Tell once how this incarnation learns of its signals, and whenever that changes."""
        now = self._incarnation.worker_id, self.wake_ups.mode
        if now != self._noted and await self._repository.note_wake_ups(*now):
            self._noted = now
