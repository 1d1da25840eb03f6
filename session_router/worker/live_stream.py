"""A stream of `stream()` while it lives: registered, read, ended, unregistered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, TypeVar

from session_router import logs
from session_router.agent_id import AgentIdLike
from session_router.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    StreamStoppedError,
)
from session_router.events import StreamOutcome
from session_router.logs import explain
from session_router.repository.changes import Register, Touch
from session_router.text import clip
from session_router.worker.endings import Ending
from session_router.worker.source import Source
from session_router.worker.source_reader import SourceReader
from session_router.worker.supervisor import retry_pause
from session_router.worker.worker import Worker

T = TypeVar("T")

_ENDS_OF_ITS_OWN: Final = {
    StreamOutcome.COMPLETED,
    StreamOutcome.FAILED,
    StreamOutcome.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ended, and the error that its consumer is to see, if any."""

    outcome: StreamOutcome
    error: BaseException | None = None


def quarter_of(timeout: timedelta) -> float:
    """How many seconds pass between two touches while items flow."""
    return timeout.total_seconds() / 4


class LiveStream(Generic[T]):
    """The stream behind the handle. It never refers to the handle, so that a drop is noticed.

    A task of the worker's, `_keep`, registers, waits for the end, and unregisters, whether the
    source lets itself be stopped or not: that is the business of its reader.
    """

    def __init__(
        self,
        source: Source[T],
        on_stop: Callable[[], object] | None,
        worker: Callable[[], Worker],
        asked: Register,
        given_id: AgentIdLike,
        touch_every_sec: float,
        close_limit_sec: float,
    ) -> None:
        self.stream_id = asked.stream_id
        self._reader = SourceReader(
            source, self.stream_id, self._hand_over, self._source_ended, on_stop, close_limit_sec
        )
        self._worker = worker
        self._asked = asked
        self._given_id = given_id
        self._touch_every_sec = touch_every_sec
        self._loop: asyncio.AbstractEventLoop | None = None
        self._touched_at = 0.0
        self._answer: asyncio.Future[T] | None = None
        self._end: _End | None = None
        self._ending: Ending | None = None
        self._unseen: BaseException | None = None
        self._written: StreamOutcome | None = None
        self._has_begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._closed = asyncio.Event()
        self._tried = asyncio.Event()
        self._is_registered = False
        self._is_ordered = False
        self._is_unregistering = False
        self._is_released = False

    @property
    def outcome(self) -> StreamOutcome | None:
        return self._written or (self._end.outcome if self._end else None)

    # The consumer's side

    async def start(self) -> None:
        self._start()
        try:
            await self._has_begun.wait()
            if not self._is_registered:
                await self._over()
        except asyncio.CancelledError:
            await self.abandon()
            raise
        if not self._is_registered and self._unseen is not None:
            raise self._last_word(StopAsyncIteration())

    async def next_item(self, _handle: object) -> T:
        """The next item; the handle lives at least until then, whoever else holds it."""
        if self._answer is not None:
            raise RuntimeError("the stream is being iterated by another task; use one consumer.")
        if self._is_released:
            raise self._last_word(StopAsyncIteration())
        loop = self._loop or self._start()
        self._answer = loop.create_future()
        if self._is_registered:
            self._reader.ask()
        try:
            return await self._answer
        except asyncio.CancelledError:
            if not self._is_released:  # the consumer is cancelled, perhaps with an item in hand
                await self.abandon()
            raise
        except _Exhausted:
            raise StopAsyncIteration from None
        finally:
            self._answer = None

    async def abandon(self) -> None:
        self._finish(_End(StreamOutcome.ABANDONED))
        self._start()  # where it was never iterated, to have its source closed
        await self._over()

    def drop(self) -> None:
        if self._loop is not None and self._end is None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish, _End(StreamOutcome.ABANDONED))

    # The worker's side

    async def stop(self) -> str | None:
        """Obey an order: who gave it has taken the row, or takes it.

        Returns:
            None when the source has closed; else why it is not known to have.
        """
        self._is_ordered = True
        self._finish(_End(StreamOutcome.INTERRUPTED))
        if not self._is_unregistering:
            self._cede()
            # The consumer need not wait for a source that takes its time.
            self._release()
        await self._reader.closed()
        return self._reader.fault

    # The source's side

    def _hand_over(self, item: T) -> None:
        if self._end is not None:
            return  # what a source still yields while it is being stopped
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(item)
        assert self._loop is not None
        now = self._loop.time()
        if now - self._touched_at >= self._touch_every_sec:
            self._touched_at = now
            self._worker().spawn(self._touch())

    def _source_ended(self, error: BaseException | None) -> None:
        outcome = StreamOutcome.COMPLETED if error is None else StreamOutcome.FAILED
        self._finish(_End(outcome, error))

    async def _touch(self) -> None:
        try:
            await self._worker().repository.touch_session(Touch(self._asked.session_id))
        except Exception as error:  # whatever it meets: the items go on
            logs.stream_touch_failed(self.stream_id, error)

    # The task

    def _start(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._touched_at = self._loop.time()
            self._worker().spawn(self._keep())
        return self._loop

    async def _keep(self) -> None:
        try:
            self._reader.start()
            may_be_listed = self._end is None and await self._register()
            self._has_begun.set()
            await self._ended.wait()
            # A source that is slow to close keeps no row; the row's removal keeps no source.
            async with asyncio.TaskGroup() as beside:
                beside.create_task(self._close())
                if may_be_listed and self._ending and not self._is_ordered:
                    self._is_unregistering = True
                    await self._unregister(self._ending)
                else:
                    self._cede()
                    self._note_tried()
        except BaseException:  # the worker, or the loop, comes to its end: what is left, others end
            self._reader.cancel()
            if self._is_registered and self._written is None:
                self._written = StreamOutcome.INTERRUPTED
            raise
        finally:
            # Then, too, nobody waits for ever.
            self._finish(_End(StreamOutcome.INTERRUPTED))
            self._has_begun.set()
            self._closed.set()
            self._note_tried()

    async def _register(self) -> bool:
        """Register; returns whether there may be a row now. A failure is the consumer's to see."""
        try:
            registrar = self._worker().registrar
            registered = await registrar.register(self._asked, self._given_id, stop=self.stop)
        except StreamStoppedError:
            self._finish(_End(StreamOutcome.INTERRUPTED))
            return False
        except Exception as error:
            self._finish(_End(StreamOutcome.FAILED, error))
            if isinstance(error, DatabaseUnavailableError | DeadlineExceededError):
                return not error.nothing_written
            return False
        self._is_registered = True
        if registered.timeout_minutes is not None:
            self._touch_every_sec = quarter_of(timedelta(minutes=registered.timeout_minutes))
        if self._answer is not None:
            self._reader.ask()
        return True

    async def _close(self) -> None:
        await self._reader.closed()
        self._closed.set()
        self._release_when_over()

    async def _unregister(self, ending: Ending) -> None:
        """Unregister, however long the database is away; the consumer waits for one try only."""
        failures = 0
        while True:
            try:
                written = await self._worker().reconciler.finish_ending(ending)
            except Exception as error:  # whatever it meets, the row must go
                failures += 1
                pause = retry_pause(failures)
                logs.stream_unregister_failed(self.stream_id, error, pause)
                self._note_tried()
                await asyncio.sleep(pause)
            else:
                if written is not None:
                    self._written = _as_seen_here(written)
                self._note_tried()
                return

    def _finish(self, end: _End) -> None:
        """Settle how the stream ends here: the first to say so is right."""
        if self._end is None:
            self._end, self._unseen = end, end.error
            self._reader.leave()
            if self._loop is not None and end.outcome in _ENDS_OF_ITS_OWN:
                self._ending = self._ending_of(end)
                self._worker().reconciler.endings.add(self._ending)
        self._ended.set()

    def _ending_of(self, end: _End) -> Ending:
        return Ending(
            self._asked.session_id,
            self._asked.agent_id,
            self.stream_id,
            end.outcome,
            None if end.error is None else clip(explain(end.error)),
            self._tried,
        )

    def _cede(self) -> None:
        """Leave it to others to write how it ended, where it was registered."""
        if self._is_ordered:
            self._written = StreamOutcome.INTERRUPTED
        self._worker().reconciler.endings.remove(self.stream_id)

    async def _over(self) -> None:
        """Wait until the source is closed and the unregistration has been tried."""
        await self._closed.wait()
        await self._tried.wait()

    def _note_tried(self) -> None:
        self._tried.set()
        self._release_when_over()

    def _release_when_over(self) -> None:
        if self._closed.is_set() and self._tried.is_set():
            self._release()

    def _release(self) -> None:
        """Tell the consumer, now if it waits or else when it asks, that no item comes any more."""
        self._is_released = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._last_word(_Exhausted()))

    def _last_word(self, otherwise: Exception) -> BaseException:
        """The error that ended the stream, to be seen once."""
        error, self._unseen = self._unseen, None
        return otherwise if error is None else error


class _Exhausted(Exception):  # noqa: N818 - a message to the consumer's side, not an error
    """No item comes any more. A future cannot carry StopAsyncIteration."""


def _as_seen_here(written: StreamOutcome) -> StreamOutcome:
    return written if written in _ENDS_OF_ITS_OWN else StreamOutcome.INTERRUPTED
