"""What the workers of the storm stream: sources of the shapes that users' agents have.

Each notes in the journal when it begins (`opened`), every item that it makes, and when it has
stopped with all that it holds (`closed`), so that it can be seen whether a stop was one.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from tests.faults.journal import Journal


class SourceError(Exception):
    """What a source fails with by itself: its consumer is to see just this."""


class Notes:
    """One source's part of the journal; `stream_id` is set when its stream has one."""

    def __init__(self, journal: Journal, shape: str) -> None:
        self.stream_id = ""
        self._journal = journal
        self._shape = shape

    def opened(self) -> None:
        self._journal.write("opened", stream_id=self.stream_id, shape=self._shape)

    def item(self) -> None:
        self._journal.write("item", stream_id=self.stream_id)

    def closed(self) -> None:
        self._journal.write("closed", stream_id=self.stream_id)


async def brief(notes: Notes) -> AsyncIterator[int]:
    """Ends by itself."""
    async for number in _made(notes, 5):
        yield number


async def endless(notes: Notes) -> AsyncIterator[int]:
    async for number in _made(notes, 1_000_000):
        yield number


async def failing(notes: Notes) -> AsyncIterator[int]:
    async for number in _made(notes, 3):
        yield number
    raise SourceError("the model refused to go on")


async def hanging(notes: Notes) -> AsyncIterator[int]:
    """Makes two items and then never another one."""
    notes.opened()
    try:
        for number in range(2):
            notes.item()
            yield number
        await asyncio.Event().wait()
    finally:
        notes.closed()


async def slow_to_close(notes: Notes) -> AsyncIterator[int]:
    """Takes its time to close, at times longer than it is given, and cannot be hurried."""
    notes.opened()
    try:
        for number in range(1_000_000):
            notes.item()
            yield number
            await asyncio.sleep(0.03)
    finally:
        over = time.monotonic() + random.choice([0.1, 0.5, 3])  # noqa: S311 - a load, not a secret
        while (left := over - time.monotonic()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
        notes.closed()


class Model:
    """A model behind a connection: it makes items by itself until it is closed.

    The object and its iterator refer to each other, as those of the common clients do.
    """

    def __init__(self, notes: Notes) -> None:
        notes.opened()
        self._made: asyncio.Queue[int] = asyncio.Queue()
        self._notes = notes
        self._working = asyncio.create_task(self._work())
        self._iterator = self._items()

    def __aiter__(self) -> AsyncIterator[int]:
        return self._iterator

    async def close(self) -> None:
        self._working.cancel()
        await asyncio.wait({self._working})

    async def _items(self) -> AsyncIterator[int]:
        try:
            while True:
                yield await self._made.get()
        finally:
            await self.close()

    async def _work(self) -> None:
        try:
            while True:
                self._notes.item()
                self._made.put_nowait(0)
                await asyncio.sleep(0.03)
        finally:
            self._notes.closed()


async def behind_a_generator(notes: Notes) -> AsyncIterator[int]:
    """What everyone writes around a client's stream."""
    async for item in Model(notes):
        yield item


async def _made(notes: Notes, number: int) -> AsyncIterator[int]:
    notes.opened()
    try:
        for n in range(number):
            notes.item()
            yield n
            await asyncio.sleep(0.03)
    finally:
        notes.closed()


SHAPES: Final[dict[str, Callable[[Notes], AsyncIterable[int]]]] = {
    "brief": brief,
    "endless": endless,
    "failing": failing,
    "hanging": hanging,
    "slow_to_close": slow_to_close,
    "behind_a_generator": behind_a_generator,
}
