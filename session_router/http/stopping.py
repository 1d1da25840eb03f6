"""How the operating system asks the service to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from session_router import logs

DRAIN: Final = b"d"
"""What the watching process says to those that serve: as SIGTERM, """
NOW: Final = b"n"
"""as SIGINT,"""
SERVING: Final = b"s"
"""and what each of them says when it serves."""
_ORDERS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """SIGTERM stops the service after a drain period, SIGINT without one; a second one at once.

    Args:
        drain_sec: for how many seconds after SIGTERM the service goes on, already unready, so
            that load balancers see it go before it is gone.
        line: to the process that watches this one, where there is one: its orders count as
            signals do, but not as a second one, and its end ends the service.
    """

    def __init__(self, drain_sec: float, line: socket.socket | None = None) -> None:
        self._drain_sec = drain_sec
        self._line = line
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
        loop.add_signal_handler(signal.SIGTERM, self._be_signalled, self._drain_sec)
        loop.add_signal_handler(signal.SIGINT, self._be_signalled, 0.0)
        if self._line is not None:
            self._line.setblocking(False)
            loop.add_reader(self._line, self._hear, self._line)
        try:
            yield
        finally:
            if self._line is not None:
                loop.remove_reader(self._line)
            for order, handler in before:
                loop.remove_signal_handler(order)
                signal.signal(order, handler)

    def _be_signalled(self, drain_sec: float) -> None:
        loop = asyncio.get_running_loop()
        for order in _ORDERS:
            loop.remove_signal_handler(order)
            signal.signal(order, _exit)
        self._begin(drain_sec)

    def _hear(self, line: socket.socket) -> None:
        try:
            said = line.recv(64)
        except ConnectionError:
            said = b""
        if said:
            self._begin(self._drain_sec if said.startswith(DRAIN) else 0.0)
        else:
            asyncio.get_running_loop().remove_reader(line)
            self._begin(0.0)
            self._due.set()

    def _begin(self, drain_sec: float) -> None:
        if not self._has_begun:
            self._has_begun = True
            logs.serving_stops(drain_sec)
            asyncio.get_running_loop().call_later(drain_sec, self._due.set)


def _exit(order: int, _: FrameType | None) -> None:
    """End at once. A handler, since what is process 1 (in containers) is deaf to the default."""
    os._exit(128 + order)
