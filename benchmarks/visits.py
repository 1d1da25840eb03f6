"""Requests over HTTP/1.1 on connections that stay open, at as little cost as can be."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast

_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


class Visitor(asyncio.Protocol):
    """One connection, on which one request at a time is under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_ends = self._received.find(_END)
        if head_ends < 0:
            return
        length = _LENGTH.search(self._received, 0, head_ends)
        body = 0 if length is None else int(length[1])  # as with 204, which has none
        if len(self._received) >= head_ends + len(_END) + body:
            assert self._answer is not None
            self._answer.set_result(self._received)
            self._received = b""

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and return the answer to it, with its head.

        Raises:
            ConnectionError: the connection was closed instead.
        """
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def visitors(port: int, number: int) -> AsyncIterator[list[Visitor]]:
    """So many connections to a port of this machine."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Visitor, "127.0.0.1", port))[1] for _ in range(number)]
    try:
        yield opened
    finally:
        for visitor in opened:
            visitor.close()


def request_of(method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A request without a body."""
    fields = {"Host": "127.0.0.1", **(headers or {})}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
