"""What `SessionManager.stream()` returns: an async iterator that can be stopped from anywhere."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID, uuid4

from session_router import logs
from session_router.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    SessionRouterError,
)
from session_router.events import StreamOutcome
from session_router.logs import explain
from session_router.maintenance.supervisor import retry_pause
from session_router.text import clip

T = TypeVar("T")


class StreamKeeper(Protocol):
    """What a stream needs of its manager; bound to one session and agent."""

    async def register(self, stream_id: UUID, stop: Callable[[], Awaitable[None]]) -> None: ...

    async def finish(self, stream_id: UUID, outcome: StreamOutcome, detail: str | None) -> None: ...

    async def touch(self) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task that the manager owns."""


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ended, and the error that its consumer is to see, if any."""

    outcome: StreamOutcome
    error: BaseException | None = None


class AgentStream(AsyncIterator[T]):
    """The items of a source, until it ends or the stream is interrupted from any worker.

    It is registered when the first item is asked for. Leaving it (`break`, `aclose()`, a
    cancelled consumer, or just dropping it) ends it as `abandoned`.
    """

    def __init__(
        self,
        source: AsyncIterable[T],
        keeper: StreamKeeper,
        *,
        touch_every_sec: float,
        close_limit_sec: float,
    ) -> None:
        self._stream = _Stream(source, keeper, touch_every_sec, close_limit_sec)

    @property
    def stream_id(self) -> UUID:
        """The stream's name in `agent_streams` and in the audit trail."""
        return self._stream.stream_id

    @property
    def outcome(self) -> StreamOutcome | None:
        """How it ended: completed, failed, abandoned or interrupted; None while it goes on."""
        return self._stream.end.outcome if self._stream.end else None

    def __aiter__(self) -> "AgentStream[T]":
        return self

    async def __anext__(self) -> T:
        """The next item; raises what the source raises, and database errors of registering."""
        return await self._stream.next_item()

    async def aclose(self) -> None:
        """Leave the stream: returns when the source is closed and the stream unregistered."""
        await self._stream.abandon()

    def __del__(self) -> None:
        # The consumer went away without a word. Nothing else refers to this handle.
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.drop()


class _Stream(Generic[T]):
    """The stream behind the handle. It never refers to the handle, so that a drop is noticed.

    Two tasks of the manager's: `_pump` iterates and closes the source, and nobody else does, for
    a source may have cancel scopes of its own; `_keep` registers, waits for the end, and
    unregisters, whether the source lets itself be stopped or not.
    """

    def __init__(
        self,
        source: AsyncIterable[T],
        keeper: StreamKeeper,
        touch_every_sec: float,
        close_limit_sec: float,
    ) -> None:
        self.stream_id = uuid4()
        self.end: _End | None = None
        self._source = source
        self._keeper = keeper
        self._touch_every_sec = touch_every_sec
        self._close_limit_sec = close_limit_sec
        self._loop: asyncio.AbstractEventLoop | None = None
        self._demand = asyncio.Event()
        self._answer: asyncio.Future[T] | None = None
        self._ended = asyncio.Event()
        self._closed = asyncio.Event()
        self._ordered_to_stop = False
        self._is_iterating = False

    # The consumer's side

    async def next_item(self) -> T:
        if self._answer is not None:
            raise RuntimeError("the stream is being iterated by another task; use one consumer.")
        if self.end is not None and (self._closed.is_set() or self._ordered_to_stop):
            raise StopAsyncIteration
        self._start()
        self._answer = asyncio.get_running_loop().create_future()
        self._demand.set()
        try:
            return await self._answer
        except asyncio.CancelledError:
            if self._answer.cancelled():
                await self.abandon()
            raise
        except _Exhausted:
            raise StopAsyncIteration from None
        finally:
            self._answer = None

    async def abandon(self) -> None:
        self._finish(_End(StreamOutcome.ABANDONED))
        if self._loop is None:  # never iterated, so never registered
            await self._close(None)
            self._closed.set()
        await self._closed.wait()

    def drop(self) -> None:
        if self._loop is not None and self.end is None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish, _End(StreamOutcome.ABANDONED))

    # The worker's side

    async def stop(self) -> None:
        """Obey a signal: the row is gone already, so there is nothing to unregister.

        Returns when the source has closed.
        """
        self._ordered_to_stop = True
        self._finish(_End(StreamOutcome.INTERRUPTED))
        # The consumer need not wait for a source that takes its time.
        self._answer_end()
        await self._closed.wait()

    # The tasks

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._keeper.spawn(self._keep())

    async def _keep(self) -> None:
        pump: asyncio.Task[None] | None = None
        try:
            may_be_registered = await self._register()
            pump = asyncio.create_task(self._pump(), name=f"pump {self.stream_id}")
            pump.add_done_callback(lambda _: self._ended.set())
            await self._ended.wait()
            await self._stopped(pump)
            if may_be_registered and not self._ordered_to_stop:
                await self._unregister()
        finally:
            # Also when the worker, or the loop, comes to its end first: nobody waits for ever.
            if pump is not None:
                pump.cancel()
            self._finish(_End(StreamOutcome.INTERRUPTED))
            self._closed.set()
            self._answer_end()

    async def _stopped(self, pump: asyncio.Task[None]) -> None:
        """Wait for the source to close; it is cancelled where it stands, then given its time."""
        if self._is_iterating:
            pump.cancel()
        await asyncio.wait({pump}, timeout=self._close_limit_sec)
        if not pump.done():
            pump.cancel()
            limit = TimeoutError(f"the source did not close within {self._close_limit_sec:g} s")
            logs.source_close_failed(self.stream_id, limit)

    async def _register(self) -> bool:
        """Register; returns whether there may be a row now. A failure is the consumer's to see."""
        try:
            await self._keeper.register(self.stream_id, self.stop)
        except DatabaseUnavailableError as error:
            self._finish(_End(StreamOutcome.FAILED, error))
            return not error.nothing_written
        except DeadlineExceededError as error:
            self._finish(_End(StreamOutcome.FAILED, error))
            return True
        except Exception as error:
            self._finish(_End(StreamOutcome.FAILED, error))
            return False
        return True

    async def _pump(self) -> None:
        """Hand over item by item, each when it is asked for; then close the source."""
        iterator = None
        try:
            if self.end is None:
                self._is_iterating = True
                iterator = aiter(self._source)
                await self._hand_over_all(iterator)
        except BaseException as error:  # whatever it is, it is the consumer's
            # Cancelled by `_keep`, the end is settled already; else the source did it itself.
            self._finish(_End(StreamOutcome.FAILED, error))
        finally:
            self._is_iterating = False
            await self._close(iterator)

    async def _hand_over_all(self, iterator: AsyncIterator[T]) -> None:
        loop = asyncio.get_running_loop()
        touched_at = loop.time()
        while True:
            await self._demand.wait()
            self._demand.clear()
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                self._finish(_End(StreamOutcome.COMPLETED))
                return
            if self.end is not None:
                return
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(item)
            if loop.time() - touched_at >= self._touch_every_sec:
                touched_at = loop.time()
                self._keeper.spawn(self._touch())

    async def _close(self, iterator: AsyncIterator[T] | None) -> None:
        aclose = getattr(iterator, "aclose", None) or getattr(self._source, "aclose", None)
        if aclose is None:
            return
        try:
            await aclose()
        except (Exception, asyncio.CancelledError) as error:
            logs.source_close_failed(self.stream_id, error)

    async def _touch(self) -> None:
        try:
            await self._keeper.touch()
        except SessionRouterError as error:
            logs.stream_touch_failed(str(self.stream_id), error)

    async def _unregister(self) -> None:
        """Unregister, however long the database is away; the consumer waits for one try only."""
        assert self.end is not None
        detail = clip(explain(self.end.error)) if self.end.error else None
        failures = 0
        while not self._ordered_to_stop:
            try:
                await self._keeper.finish(self.stream_id, self.end.outcome, detail)
                return
            except SessionRouterError as error:
                failures += 1
                pause = retry_pause(failures)
                logs.stream_unregister_failed(self.stream_id, error, pause)
                self._closed.set()
                self._answer_end()
                await asyncio.sleep(pause)

    def _finish(self, end: _End) -> None:
        """Settle how the stream ends: the first to say so is right."""
        if self.end is None:
            self.end = end
        self._ended.set()

    def _answer_end(self) -> None:
        """Tell the consumer, if it is waiting, that no item comes any more."""
        assert self.end is not None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self.end.error or _Exhausted())


class _Exhausted(Exception):  # noqa: N818 - a message to the consumer's side, not an error
    """No item comes any more. A future cannot carry StopAsyncIteration."""
