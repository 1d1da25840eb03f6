"""Reads a source item by item, leaves it wherever it stands, and closes it."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from session_router import logs
from session_router.logs import explain
from session_router.worker.source import OpenSource, Source

T = TypeVar("T")

_BACKLOG_SEC: Final = 0.05
_BACKLOG_ITEMS: Final = 1_000
_running: Final[set[asyncio.Task[None]]] = set()
"""Keeps the tasks from the garbage collector, also of sources that will not close."""


class SourceReader(Generic[T]):
    """Reads a source in one task, and closes it there: it may have cancel scopes of its own.

    Args:
        source: see `OpenSource`; it is opened when the first item is asked for.
        stream_id: what the log calls it.
        on_item: is given each item.
        on_end: is told when the source ends by itself, with the error that it raised, if any.
        on_stop: called before the source is cancelled, for at most half of `close_limit_sec`.
        close_limit_sec: how long it may take to close, in seconds, from when it is left.

    Attributes:
        fault: why the source is not known to have closed with all that it holds; None: no reason.
    """

    def __init__(
        self,
        source: Source[T],
        stream_id: UUID,
        on_item: Callable[[T], None],
        on_end: Callable[[BaseException | None], None],
        on_stop: Callable[[], object] | None,
        close_limit_sec: float,
    ) -> None:
        self._source = OpenSource(source)
        self._stream_id = stream_id
        self._on_item = on_item
        self._on_end = on_end
        self._on_stop = on_stop
        self._close_limit_sec = close_limit_sec
        self._ahead: deque[T] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._is_asked = False
        self._waiting: asyncio.Future[None] | None = None
        self._is_over = asyncio.Event()
        self._limit: asyncio.TimerHandle | None = None
        self._is_begun = False
        self._is_inside = False
        self._is_left = False
        self._is_logged = False
        self.fault: str | None = None

    def start(self) -> None:
        """Begin the task; the source is not touched before the first `ask` or `leave`."""
        self._task = _kept(self._run(), f"source of stream {self._stream_id}")
        self._task.add_done_callback(self._note_over)

    def ask(self) -> None:
        """Ask for one item."""
        # A future of its own, and no asyncio.Event: this is done for each item of each stream.
        self._is_asked = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def leave(self) -> None:
        """Read no further: call `on_stop`, cancel the source at its innermost wait, then close it.

        A source that was not begun is only closed.
        """
        if self._is_left:
            return
        self._is_left = True
        if self._on_stop is not None and self._is_begun:
            stop = self._stop_by_itself(self._on_stop)
            self._stopping = _kept(stop, f"stop of stream {self._stream_id}")
        else:
            self._cancel_reading()

    def cancel(self) -> None:
        """Cancel whatever the task is at, the source's own closing included."""
        if self._task is not None:
            self._task.cancel()

    async def closed(self) -> None:
        """Wait until the source has closed; past the limit, note that and cancel it once more.

        Where the limit has passed for somebody, it has for all.
        """
        if self._limit is None and not self._is_over.is_set():
            loop = asyncio.get_running_loop()
            self._limit = loop.call_later(self._close_limit_sec, self._give_up)
        await self._is_over.wait()

    def _give_up(self) -> None:
        self._note(f"the source did not close within {self._close_limit_sec:g} s")
        self._is_over.set()
        self.cancel()

    def _note_over(self, _: "asyncio.Task[None]") -> None:
        self._is_over.set()
        if self._limit is not None:
            self._limit.cancel()

    async def _stop_by_itself(self, on_stop: Callable[[], object]) -> None:
        """Have what is behind the source stop in its own way, then cancel the reading."""
        limit_sec = self._close_limit_sec / 2
        calling = _kept(_called(on_stop), f"on_stop of stream {self._stream_id}")
        try:
            await asyncio.wait({calling}, timeout=limit_sec)
            if not calling.done():
                calling.cancel()
                self._note(f"on_stop took longer than {limit_sec:g} s")
            # Cancelled is fine: what it awaited was, perhaps by itself.
            elif not calling.cancelled() and (error := calling.exception()):
                self._note(f"on_stop raised {explain(error)}")
        finally:
            self._cancel_reading()

    def _cancel_reading(self) -> None:
        self.ask()
        if self._is_inside:
            self.cancel()

    async def _run(self) -> None:
        ended_by: BaseException | None = None
        try:
            await self._read()
        except BaseException as error:  # whatever it is, it is the consumer's
            ended_by = error
            if self._is_left and not isinstance(error, asyncio.CancelledError):
                self._log(explain(error))  # it has ended, if not well; its consumer has left
        self._note_end(ended_by)
        await self._close(ended_by)

    async def _read(self) -> None:
        """Open the source when the first item is asked for, and read it."""
        loop = asyncio.get_running_loop()
        if not self._is_asked:
            self._waiting = loop.create_future()
            await self._waiting
        self._is_asked = False
        if self._is_left:
            return
        self._is_begun = self._is_inside = True
        try:
            iterator = await self._source.open()
        finally:
            self._is_inside = False
        if not self._is_left:
            with suppress(StopAsyncIteration):
                await self._read_on(iterator, loop)

    async def _read_on(self, iterator: AsyncIterator[T], loop: asyncio.AbstractEventLoop) -> None:
        """Hand over item by item, each when it is asked for, until the source ends or is left."""
        while True:
            # Without a coroutine of ours for each item: a fifth of what an item costs.
            if self._ahead:
                item = self._ahead.popleft()
            else:
                self._is_inside = True
                try:
                    item = await anext(iterator)
                finally:
                    self._is_inside = False
            self._on_item(item)
            while not self._is_asked:
                self._waiting = loop.create_future()
                try:
                    await self._waiting
                except asyncio.CancelledError as cancelled:
                    await self._hand_in(cancelled, iterator)
            self._is_asked = False
            if self._is_left:
                return await self._cancel_inside(iterator)

    def _note_end(self, error: BaseException | None) -> None:
        """The source has ended: by itself, where it was not left before."""
        if not self._is_left:
            self._is_left = True
            self._on_end(error)

    async def _hand_in(self, cancelled: asyncio.CancelledError, iterator: AsyncIterator[T]) -> None:
        """Give the source a cancellation that came while it stands at a `yield`.

        It is of a scope that the source keeps open around it: so it is the source's to take,
        uncounted. What it yields for an answer waits until it is asked for.
        """
        assert self._task is not None
        self._task.cancel(*cancelled.args)
        self._task.uncancel()
        self._is_inside = True
        try:
            self._ahead.append(await anext(iterator))
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
            await anext(iterator)
            dropped += 1

    async def _close(self, ended_by: BaseException | None) -> None:
        """Close all that the source has opened, each once, when `on_stop` is done."""
        if self._stopping is not None:
            await asyncio.wait({self._stopping})
        await _withdraw_cancellation()
        for close in self._source.closings(ended_by):
            try:
                await _called(close)
            except asyncio.CancelledError:
                continue  # past the limit, which is noted; or what it awaits was cancelled by it
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                if error is not ended_by:
                    self._note(f"closing the source raised {explain(error)}")

    def _note(self, fault: str) -> None:
        if self.fault is None:
            self.fault = fault
            self._log(fault)

    def _log(self, told: str) -> None:
        if not self._is_logged:
            self._is_logged = True
            logs.source_close_failed(self._stream_id, told)


def _kept(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def _called(call: Callable[[], object]) -> None:
    """Call what may be a plain function or a coroutine's."""
    awaited = call()
    if inspect.isawaitable(awaited):
        await awaited


async def _withdraw_cancellation() -> None:
    """Take back what this task was cancelled with, and what was not raised yet.

    Else it would be raised at the first wait of what comes next, the closing.
    """
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    while task is not None and task.uncancel():
        pass
