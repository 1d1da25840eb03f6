"""Writing to a connection: what is written in one go is sent in one go."""

import asyncio
from typing import Final

_AT_ONCE_BYTES: Final = 65_536


class Gathering:
    """A connection's transport, as far as answers need it.

    An answer's header and body are written one after the other, and each would be a call of the
    operating system of its own.

    Args:
        transport: of the connection.
        loop: that it belongs to.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send this by the time that the event loop turns to something else."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _AT_ONCE_BYTES:  # the transport tells when that is too fast
            self._send()

    def close(self) -> None:
        """Close when all is sent."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._gathered.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be when all is sent."""
        return self._transport.is_closing()

    def _send(self) -> None:
        if self._gathered and not self._transport.is_closing():
            self._transport.write(b"".join(self._gathered))
        self._gathered.clear()
        self._size = 0
