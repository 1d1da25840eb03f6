"""What `stream()` takes: an async iterable, or what opens one; opened and closed once."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, Union

T = TypeVar("T")

Opened: TypeAlias = Union[  # noqa: UP007 - an alias with a type variable in it
    AsyncIterable[T],
    Awaitable[AsyncIterable[T]],
    AbstractAsyncContextManager[AsyncIterable[T]],
]
Source: TypeAlias = Union[AsyncIterable[T], Callable[[], Opened[T]]]  # noqa: UP007 - likewise

_REMEDY = (
    "give an async iterable, or a callable without arguments that returns one, an awaitable of "
    "one, or an async context manager that gives one."
)


class OpenSource(Generic[T]):
    """A source, from before it is opened until it is closed, all in one task.

    Args:
        source: an async iterable, or a callable that opens one.
    """

    def __init__(self, source: Source[T]) -> None:
        is_iterable = isinstance(source, AsyncIterable)
        self._opener = source if callable(source) and not is_iterable else None
        self._iterable: Any = None if self._opener else source
        self._iterator: AsyncIterator[T] | None = None
        self._context: Any = None

    async def open(self) -> AsyncIterator[T]:
        """Open it; raises what it raises, and TypeError where it gives nothing to iterate."""
        if self._opener is not None:
            self._iterable = await self._opened(self._opener)
        if not isinstance(self._iterable, AsyncIterable):
            kind = type(self._iterable).__name__
            raise TypeError(f"the source is of the type {kind!a}, or has given that; {_REMEDY}")
        self._iterator = aiter(self._iterable)
        return self._iterator

    def closings(self, error: BaseException | None) -> Iterator[Callable[[], Any]]:
        """What to call, and to await where it returns an awaitable, to close all that is open.

        The iterator comes first, then what it iterates, which a context manager closes where one
        has given it.

        Args:
            error: what ended the iteration, for the context manager; None where it ended well.
        """
        if self._iterator is not None and self._iterator is not self._context:
            yield from _closing(self._iterator)
        if self._context is not None:
            trace = error.__traceback__ if error else None
            yield partial(self._context.__aexit__, type(error) if error else None, error, trace)
        elif self._iterable is not self._iterator:
            yield from _closing(self._iterable)

    async def _opened(self, opener: Callable[[], Opened[T]]) -> Any:
        given: Any = opener()
        if inspect.isawaitable(given) and not isinstance(given, AsyncIterable):
            given = await given
        if isinstance(given, AbstractAsyncContextManager):
            entered = await given.__aenter__()
            self._context, given = given, entered
        return given


def _closing(one: Any) -> Iterator[Callable[[], Any]]:
    """Its way to be closed: as generators are, or LLM clients' responses, which have `close()`."""
    close = getattr(one, "aclose", None) or getattr(one, "close", None)
    if callable(close):
        yield close
