"""How a worker learns of its signals: it is woken, and looks from time to time besides."""

import asyncio
from typing import Final

from session_router.doorbell import Doorbell, WakeUps
from session_router.repository.results import SIGNALS_READ
from session_router.settings import Tuning
from session_router.worker.dispatcher import Dispatcher

_NO_NOTIFICATIONS: Final = WakeUps("polling", "this database sends no notifications")


class Polling:
    """Looks for signals, more seldom while a doorbell wakes it.

    Args:
        dispatcher: reads them and carries them out.
        doorbell: wakes it; None where the database sends no notifications.
        signalled: set when there may be signals for this worker.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        doorbell: Doorbell | None,
        signalled: asyncio.Event,
        tuning: Tuning,
    ) -> None:
        self._dispatcher = dispatcher
        self._doorbell = doorbell
        self._signalled = signalled
        self._tuning = tuning

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
