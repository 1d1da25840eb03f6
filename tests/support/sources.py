"""What agents stream: sources for `SessionManager.stream()`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable


async def end() -> None:
    """The source ends after its items."""


async def hang() -> None:
    """The source hangs after its items until it is cancelled."""
    await asyncio.Event().wait()


def fail_with(error: BaseException) -> Callable[[], Awaitable[None]]:
    """The source raises `error` after its items."""

    async def fail() -> None:
        raise error

    return fail


async def ignore_one_cancellation() -> None:
    """The source takes its first cancellation for nothing and goes on as if it had not been."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


class Source:
    """Yields its items one by one, then does as `then` says.

    Attributes:
        produced: how many items it was asked for.
        is_at_end: set when it has yielded all items and was asked for more.
        is_closed: whether it has ended or was closed.
        tasks: every task that ran any of it.
    """

    def __init__(self, *items: str, then: Callable[[], Awaitable[None]] = end) -> None:
        self._items = items
        self._then = then
        self.produced = 0
        self.is_at_end = asyncio.Event()
        self.is_closed = False
        self.tasks: set[asyncio.Task[object] | None] = set()

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            for item in self._items:
                self._note_task()
                self.produced += 1
                yield item
            self._note_task()
            self.is_at_end.set()
            await self._then()
        finally:
            self._note_task()
            self.is_closed = True

    def _note_task(self) -> None:
        self.tasks.add(asyncio.current_task())
