"""Answers of a model as agents iterate them: each holds a connection on which the model writes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

import anyio


class Connection:
    """Stands for an HTTP response: a task reads what the model writes, until it is closed."""

    def __init__(self, *, ahead: int = 0) -> None:
        self.written = 0
        self.closed = 0
        self._words: asyncio.Queue[str] = asyncio.Queue()
        for _ in range(ahead):
            self._words.put_nowait("word")
        self._model = asyncio.create_task(self._write())

    async def word(self) -> str:
        return await self._words.get()

    def close(self) -> None:
        self.closed += 1
        self._model.cancel()

    async def _write(self) -> None:
        while True:
            self.written += 1
            self._words.put_nowait("word")
            await asyncio.sleep(0.001)


async def words(connection: Connection) -> AsyncGenerator[str]:
    try:
        while True:
            yield await connection.word()
    finally:
        connection.close()


class Response:
    """As of an LLM's client: it and its generator refer to each other; it has `close()` only."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._iterator = self._words()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return await anext(self._iterator)

    async def _words(self) -> AsyncIterator[str]:
        while True:
            yield await self._connection.word()

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._connection.close()


class PlainlyClosed(Response):
    """Its `close` is no coroutine."""

    def close(self) -> None:  # type: ignore[override]
        self._connection.close()


class GeneratorInside:
    """Iterated by a generator, closed by an `aclose()` of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            yield await self._connection.word()

    async def aclose(self) -> None:
        self._connection.close()


class Cyclic:
    """Its generator is referred to by itself, so that dropping it closes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._iterator = words(connection)
        self._self = self

    async def __aiter__(self) -> AsyncIterator[str]:
        async for word in self._iterator:
            yield word


async def generator_over_generator(connection: Connection) -> AsyncIterator[str]:
    async for word in Cyclic(connection):
        yield word


async def swallowing_once(connection: Connection) -> AsyncIterator[str]:
    inner = words(connection)
    try:
        async for word in inner:
            yield word
    except asyncio.CancelledError:
        yield "I was stopped."


async def in_a_timeout(connection: Connection) -> AsyncIterator[str]:
    async with asyncio.timeout(60):
        async for word in Cyclic(connection):
            yield word


async def in_a_task_group(connection: Connection) -> AsyncIterator[str]:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        async for word in Cyclic(connection):
            yield word


async def in_a_cancel_scope(connection: Connection) -> AsyncIterator[str]:
    with anyio.CancelScope():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            async for word in Cyclic(connection):
                yield word


async def with_a_slow_farewell(connection: Connection) -> AsyncIterator[str]:
    try:
        async for word in Cyclic(connection):
            yield word
    finally:
        await asyncio.sleep(0.01)


ANSWERS: Final[dict[str, Callable[[Connection], AsyncIterator[str]]]] = {
    kind.__name__: kind  # type: ignore[misc]
    for kind in (
        words,
        Response,
        PlainlyClosed,
        GeneratorInside,
        generator_over_generator,
        swallowing_once,
        in_a_timeout,
        in_a_task_group,
        in_a_cancel_scope,
        with_a_slow_farewell,
    )
}
