"""TLS before a PostgreSQL that was built without: it is asked for, and ended, as servers do."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

CERTIFICATES: Final = Path(__file__).parent / "tls"
"""An authority, `ca.crt`, and `server.crt`, which it gave to localhost; they end in a century."""

_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@asynccontextmanager
async def tls_front(port: int) -> AsyncIterator[int]:
    """The port, on this machine, of TLS before the server at `port`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATES / "server.crt", CERTIFICATES / "server.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                return
            writer.write(b"S")
            try:
                await writer.start_tls(context)
            except OSError:  # the client does not trust us
                return
            to_server = await asyncio.open_connection("127.0.0.1", port)
            with closing(to_server[1]):
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, to_server[1]))
                    both.create_task(_pass_on(to_server[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
