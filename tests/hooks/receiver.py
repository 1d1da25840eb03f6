"""A receiver of hooks: it keeps what it was sent, and answers as it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook


@dataclass
class Receiver:
    """What came, in order.

    Attributes:
        answers: the status for each request, by what it tells.
    """

    port: int = 0
    answers: Callable[[dict[str, Any]], int] = lambda told: 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/told?by=router"

    @property
    def ids(self) -> list[str]:
        """The message ids of all requests, those that were refused included."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    def verify(self, secret: str) -> None:
        """Check each signature as a receiver has to; raises where one is wrong."""
        for headers, body in self.requests:
            Webhook(secret).verify(body, headers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(
                    line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line
                )
                headers = {name.lower(): value for name, value in fields.items()}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((headers, body))
                told = json.loads(body)
                status = self.answers(told)
                if 200 <= status < 300:
                    self.taken.append(told)
                writer.write(
                    f"HTTP/1.1 {status} x\r\nLocation: http://127.0.0.1:1/\r\n"
                    "Content-Length: 0\r\n\r\n".encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver on this machine, for the length of the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
