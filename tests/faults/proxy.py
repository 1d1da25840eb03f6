"""The network between workers and servers, and what can be wrong with it."""

import asyncio
from contextlib import suppress
from typing import Self

from tests.support.postgres import free_port


class Proxy:
    """One address for whichever server is the primary: each new connection goes to `target`.

    Attributes:
        port: where workers connect to, on 127.0.0.1.
        target: the port of the server that new connections are led to.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self._listening: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def accept(self) -> None:
        """Take new connections; where no server listens behind, they are closed at once."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._begin, "127.0.0.1", self.port)

    def refuse(self) -> None:
        """Take no new connections: they are refused by the machine."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def silence(self) -> "list[_Link]":
        """From now on nothing passes on today's connections, and no side is told of it."""
        silent = list(self._links)
        for link in silent:
            link.is_silent = True
        return silent

    def cut(self, links: "list[_Link] | None" = None) -> None:
        """Close connections, all of them where none are named."""
        for link in self._links if links is None else links:
            link.over.set()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reader_there, writer_there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link()
        self._links.add(link)
        try:
            await link.relay((reader, writer_there), (reader_there, writer))
        finally:
            self._links.discard(link)
            writer.transport.abort()
            writer_there.transport.abort()


class _Link:
    """One connection of a client's to a server."""

    def __init__(self) -> None:
        self.is_silent = False
        self.over = asyncio.Event()

    async def relay(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Pass on what comes, both ways, until one side closes or it is cut."""
        passing = [asyncio.create_task(self._pass_on(*way)) for way in ways]
        cut = asyncio.create_task(self.over.wait())
        try:
            await asyncio.wait({*passing, cut}, return_when=asyncio.FIRST_COMPLETED)
            if self.is_silent:
                await cut  # that one side has gone is not told to the other either
        finally:
            for task in (*passing, cut):
                task.cancel()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if not self.is_silent:
                    writer.write(data)
                    await writer.drain()
