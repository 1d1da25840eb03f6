"""What `stream()` iterates: read item by item, left wherever it stands, and closed."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from session_router import logs
from session_router.logs import explain

T = TypeVar("T")

_BACKLOG_SEC: Final = 0.05
_BACKLOG_ITEMS: Final = 1_000
_running: Final[set[asyncio.Task[None]]] = set()
"""Keeps the tasks from the garbage collector, also of sources that will not close."""


class SourceReader(Generic[T]):
    """Reads a source in one task, and closes it there: it may have cancel scopes of its own.

    Args:
        source: any async iterable.
        stream_id: what the log calls it.
        on_item: is given each item.
        on_end: is told when the source ends by itself, with the error that it raised, if any.

    Attributes:
        fault: why the source is not known to have closed with all that it holds; None: no reason.
    """

    def __init__(
        self,
        source: AsyncIterable[T],
        stream_id: UUID,
        on_item: Callable[[T], None],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._source = source
        self._stream_id = stream_id
        self._on_item = on_item
        self._on_end = on_end
        self._iterator: AsyncIterator[T] | None = None
        self._ahead: deque[T] = deque()
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._is_over = asyncio.Event()
        self._is_inside = False
        self._is_left = False
        self._is_logged = False
        self.fault: str | None = None

    def start(self) -> None:
        """Begin the task; the source is not touched before the first `ask` or `leave`."""
        self._task = asyncio.create_task(self._run(), name=f"source of stream {self._stream_id}")
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)
        self._task.add_done_callback(lambda _: self._is_over.set())

    def ask(self) -> None:
        """Ask for one item."""
        self._asked.set()

    def leave(self) -> None:
        """Read no further: cancel the source at its innermost wait, then close it.

        A source that was not begun is only closed.
        """
        if self._is_left:
            return
        self._is_left = True
        self._asked.set()
        if self._is_inside:
            self.cancel()

    def cancel(self) -> None:
        """Cancel whatever the task is at, the source's own closing included."""
        if self._task is not None:
            self._task.cancel()

    async def closed(self, limit_sec: float) -> None:
        """Wait until the source has closed; past the limit, note that and cancel it once more.

        Where the limit has passed for somebody, it has for all.
        """
        try:
            async with asyncio.timeout(limit_sec):
                await self._is_over.wait()
        except TimeoutError:
            self._note(f"the source did not close within {limit_sec:g} s")
            self._is_over.set()
            self.cancel()

    async def _run(self) -> None:
        try:
            await self._read()
        except BaseException as error:  # whatever it is, it is the consumer's
            if not self._is_left:
                self._on_end(error)
            elif not isinstance(error, asyncio.CancelledError):
                self._log(explain(error))  # it has ended, if not well; its consumer has left
        self._is_left = True
        await self._close()

    async def _read(self) -> None:
        """Hand over item by item, each when it is asked for, until the source ends or is left."""
        if not await self._is_asked():
            return
        self._iterator = aiter(self._source)
        try:
            while True:
                self._on_item(self._ahead.popleft() if self._ahead else await self._next())
                if not await self._is_asked():
                    await self._cancel_inside(self._iterator)
                    return
        except StopAsyncIteration:
            self._on_end(None)

    async def _is_asked(self) -> bool:
        while (cancelled := await self._cancelled_meanwhile()) is not None:
            # By a scope that the source keeps open around its `yield`: so it is the source's to
            # take, uncounted. What it yields for an answer waits until it is asked for.
            assert self._task is not None
            self._task.cancel(*cancelled.args)
            self._task.uncancel()
            self._ahead.append(await self._next())
        self._asked.clear()
        return not self._is_left

    async def _cancelled_meanwhile(self) -> asyncio.CancelledError | None:
        try:
            await self._asked.wait()
        except asyncio.CancelledError as error:
            if self._iterator is None:
                raise
            return error
        return None

    async def _next(self) -> T:
        assert self._iterator is not None
        self._is_inside = True
        try:
            return await anext(self._iterator)
        finally:
            self._is_inside = False

    async def _cancel_inside(self, iterator: AsyncIterator[T]) -> None:
        """Go on with the source that stands at a `yield`, and have it cancelled where it waits.

        An exception thrown in at the `yield` would reach its outermost generator only, and what
        that iterates, a client's response perhaps, would go on. What the source has read already
        it yields without waiting: that is asked for, and dropped, without a turn of the loop,
        which may take long where many streams flow. Only a source that never waits ends the loop
        by its bound.
        """
        loop = asyncio.get_running_loop()
        until, dropped = loop.time() + _BACKLOG_SEC, 0
        while dropped < _BACKLOG_ITEMS or loop.time() < until:
            self.cancel()  # again, where the source has seen it and yields all the same
            try:
                await anext(iterator)
            except (StopAsyncIteration, asyncio.CancelledError):
                return
            dropped += 1

    async def _close(self) -> None:
        """Close the iterator, then the source where that is another object, each once."""
        await _withdraw_cancellation()
        both: list[Any] = [self._source]
        if self._iterator is not None and self._iterator is not self._source:
            both.insert(0, self._iterator)
        for one in both:
            try:
                await _close(one)
            except asyncio.CancelledError:
                continue  # past the limit, which is noted; or what it awaits was cancelled by it
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._note(f"closing the source raised {explain(error)}")

    def _note(self, fault: str) -> None:
        if self.fault is None:
            self.fault = fault
            self._log(fault)

    def _log(self, told: str) -> None:
        if not self._is_logged:
            self._is_logged = True
            logs.source_close_failed(self._stream_id, told)


async def _close(one: Any) -> None:
    """Close as generators are, or as LLM clients' responses, which have `close()` only."""
    close = getattr(one, "aclose", None) or getattr(one, "close", None)
    if callable(close):
        closing = close()
        if inspect.isawaitable(closing):
            await closing


async def _withdraw_cancellation() -> None:
    """Take back what this task was cancelled with, and what was not raised yet.

    Else it would be raised at the first wait of what comes next, the closing.
    """
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    while task is not None and task.uncancel():
        pass
