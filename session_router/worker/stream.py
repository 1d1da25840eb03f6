"""What `SessionManager.stream()` returns: an async iterator that can be stopped from anywhere."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from uuid import UUID

from session_router.events import StreamOutcome
from session_router.worker.live_stream import LiveStream

T = TypeVar("T")


class AgentStream(AsyncIterator[T]):
    """The items of a source, until it ends or the stream is interrupted from any worker.

    It is registered by `start()`, or else when the first item is asked for. Leaving it (`break`,
    `aclose()`, a cancelled consumer, or just dropping it) ends it as `abandoned`.

    However it is left before its end, `on_stop` is called, and then the source is cancelled at its
    innermost wait, as a task is: where it stands at a `yield`, it goes on to its next wait for
    that, and what it yields on the way is dropped. So `except GeneratorExit` is reached only in
    sources that go on yielding without a wait, or in spite of the cancellation. Then the iterator
    and what it iterates are closed, by the context manager that gave it, or by `aclose()` or else
    `close()`, which should not block when it is no coroutine.
    """

    def __init__(self, stream: LiveStream[T]) -> None:
        self._stream = stream

    @property
    def stream_id(self) -> UUID:
        """The stream's name in `agent_streams` and in the audit trail."""
        return self._stream.stream_id

    @property
    def outcome(self) -> StreamOutcome | None:
        """How it ended: completed, failed, abandoned or interrupted; None while it goes on.

        It is completed, failed or abandoned where the trail says so, and interrupted for every
        end that others ordered: also when their order came first by a moment, after which an
        error of the source is raised all the same. It is settled when the iteration has ended, or
        `aclose()` has returned; only where the database fails then, it is what was seen here until
        the database tells. A stream that never was registered has no other.
        """
        return self._stream.outcome

    def __aiter__(self) -> "AgentStream[T]":
        return self

    async def start(self) -> None:
        """Register now, before the first item is asked for; the source is not opened yet.

        So a web handler can answer an error with its status instead of a cut answer. A stream
        that has begun, or ended, already is left as it is.

        Raises (as the first item does, where this is not called):
            OverloadedError, WorkerGoneError: nothing was written.
            DatabaseError: the database is away, or its tables are not this version's.
            DeadlineExceededError: no answer in time.
        """
        await self._stream.start()

    def __anext__(self) -> Coroutine[Any, Any, T]:
        """The next item; raises what the source raises, and database errors of registering."""
        return self._stream.next_item(self)

    async def aclose(self) -> None:
        """Leave the stream: returns when the source is closed and the stream unregistered.

        A source that will not close, or a database that is away, are waited for in bounds only.
        """
        await self._stream.abandon()

    def __del__(self) -> None:
        # The consumer went away without a word. Nothing else refers to this handle.
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.drop()
