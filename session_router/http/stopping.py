"""How the operating system asks the service to stop."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from session_router import logs

_ORDERS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """SIGTERM stops the service after a drain period, SIGINT without one; a second one at once.

    Args:
        drain_sec: for how many seconds after SIGTERM the service goes on, already unready, so
            that load balancers see it go before it is gone.
    """

    def __init__(self, drain_sec: float) -> None:
        self._drain_sec = drain_sec
        self._has_begun = False
        self._due = asyncio.Event()

    def has_begun(self) -> bool:
        """Whether the service was asked to stop."""
        return self._has_begun

    async def due(self) -> None:
        """Return when it is time to stop accepting requests."""
        await self._due.wait()

    @contextmanager
    def on_order(self) -> Iterator[None]:
        """Take the operating system's orders within the block; in the main thread only."""
        before = [(order, signal.getsignal(order)) for order in _ORDERS]
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._begin, self._drain_sec)
        loop.add_signal_handler(signal.SIGINT, self._begin, 0.0)
        try:
            yield
        finally:
            for order, handler in before:
                loop.remove_signal_handler(order)
                signal.signal(order, handler)

    def _begin(self, drain_sec: float) -> None:
        self._has_begun = True
        logs.serving_stops(drain_sec)
        loop = asyncio.get_running_loop()
        for order in _ORDERS:
            loop.remove_signal_handler(order)
            signal.signal(order, _exit)
        loop.call_later(drain_sec, self._due.set)


def _exit(order: int, _: FrameType | None) -> None:
    """End at once. A handler, since what is process 1 (in containers) is deaf to the default."""
    os._exit(128 + order)
