"""`stream()`: a source that is left before its end stops with all that it holds, and is closed."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from session_router import AgentId, InMemorySessionRepository, SessionManager
from session_router.settings import Tuning
from session_router.worker.stream import AgentStream
from tests.support.answers import (
    ANSWERS,
    Connection,
    Cyclic,
    words,
)
from tests.support.repositories import HostsRepository
from tests.support.sources import Source, end, fail_with, hang
from tests.support.trail import events, settlements
from tests.support.waiting import Gate, eventually

A = AgentId("writer", "a")
HANDLE = {"completed", "failed", "abandoned"}


@pytest.fixture
def repository() -> InMemorySessionRepository:
    """What happens to sources is the same over every repository."""
    return InMemorySessionRepository()


@pytest.fixture
async def manager(repository: InMemorySessionRepository) -> AsyncGenerator[SessionManager]:
    async with worker(repository) as made:
        yield made


def worker(repository: InMemorySessionRepository, *, limit_sec: float = 5) -> SessionManager:
    return SessionManager(repository, tuning=Tuning(cancel_timeout_sec=limit_sec))


class Consumer:
    """Takes an item, then is busy with it, or waits for the next one."""

    def __init__(self, stream: AgentStream[str], *, is_busy: bool) -> None:
        self._is_busy = is_busy
        self._has_item = asyncio.Event()
        self.task = asyncio.create_task(self._consume(stream))

    async def is_there(self) -> None:
        await self._has_item.wait()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _consume(self, stream: AgentStream[str]) -> None:
        async for _ in stream:
            self._has_item.set()
            if self._is_busy:
                await hang()


async def interrupt(manager: SessionManager, consumer: Consumer) -> None:
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}


async def cancel_consumer(manager: SessionManager, consumer: Consumer) -> None:
    consumer.task.cancel()
    await asyncio.wait({consumer.task})


async def shut_down(manager: SessionManager, consumer: Consumer) -> None:
    await manager.shutdown()


Leave = Callable[[SessionManager, Consumer], Awaitable[None]]
IMMEDIATE = (interrupt, shut_down)


async def handle_and_trail_agree(
    repository: InMemorySessionRepository, stream: AgentStream[Any]
) -> None:
    async def is_finished() -> bool:
        return bool(await events(repository, "stream_finished"))

    await eventually(is_finished)
    [finished] = await events(repository, "stream_finished")
    expected = finished.outcome if finished.outcome in HANDLE else "interrupted"
    assert stream.outcome == expected


async def nothing_is_left(connection: Connection) -> None:
    """The model writes no more, however long one waits."""
    written = connection.written
    await asyncio.sleep(0.01)
    assert connection.written == written
    assert connection.closed >= 1


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "waiting"])
@pytest.mark.parametrize("leave", [interrupt, cancel_consumer, shut_down])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_whatever_a_source_is_nothing_of_it_runs_on(
    manager: SessionManager,
    repository: InMemorySessionRepository,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    leave: Leave,
    is_busy: bool,
) -> None:
    before = asyncio.all_tasks()
    connection = Connection()
    stream = manager.stream("s", A, ANSWERS[kind](connection))
    consumer = Consumer(stream, is_busy=is_busy)
    await consumer.is_there()
    await leave(manager, consumer)
    if leave is cancel_consumer and is_busy:
        await stream.aclose()  # whose consumer died of something else
    await nothing_is_left(connection)
    await handle_and_trail_agree(repository, stream)
    consumer.task.cancel()
    await asyncio.wait({consumer.task})
    if leave is shut_down:
        await manager.start()
    await eventually(lambda: no_more_tasks(before))
    assert "source_close_failed" not in caplog.text


def no_more_tasks(before: set[asyncio.Task[Any]]) -> bool:
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    jobs = {"heartbeat", "dispatch", "reconcile", "sweep", "reap"}
    return names <= jobs


async def test_a_source_that_is_dropped_in_the_middle_stops_too(
    manager: SessionManager, repository: InMemorySessionRepository
) -> None:
    connection = Connection()
    async for _ in manager.stream("s", A, Cyclic(connection)):
        break
    gc.collect()
    await eventually(lambda: connection.closed)
    await nothing_is_left(connection)


async def test_what_a_source_has_read_already_keeps_the_rest_from_nothing(
    manager: SessionManager,
) -> None:
    connection = Connection(ahead=500)
    stream = manager.stream("s", A, Cyclic(connection))
    await anext(stream)
    async with slow_loop():
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    await nothing_is_left(connection)
    assert [word async for word in stream] == []


@asynccontextmanager
async def slow_loop() -> AsyncIterator[None]:
    """Each turn of the event loop takes milliseconds, as where many streams flow."""

    async def hog() -> None:
        while True:
            until = time.monotonic() + 0.003
            while time.monotonic() < until:
                pass
            await asyncio.sleep(0)

    task = asyncio.create_task(hog())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_source_that_never_waits_is_left_after_a_moment(manager: SessionManager) -> None:
    ends: list[type[BaseException]] = []

    async def endless() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield (number := number + 1)
        except BaseException as end:
            ends.append(type(end))
            raise

    stream = manager.stream("s", A, endless())
    assert await anext(stream) == 1
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert ends == [GeneratorExit]


async def test_code_after_the_last_item_runs_up_to_its_first_wait(manager: SessionManager) -> None:
    reached: list[str] = []

    async def last_word() -> AsyncIterator[str]:
        yield "word"
        reached.append("after it")
        await asyncio.sleep(0)
        reached.append("after the wait")

    stream = manager.stream("s", A, last_word())
    await anext(stream)
    await stream.aclose()
    assert reached == ["after it"]


async def test_a_source_that_was_never_begun_is_closed_and_not_begun(
    manager: SessionManager,
) -> None:
    begun: list[str] = []

    class Answer:
        closed = 0

        async def __aiter__(self) -> AsyncIterator[str]:
            begun.append("begun")
            yield "word"

        async def close(self) -> None:
            self.closed += 1

    source = Answer()
    stream = manager.stream("s", A, source)
    await asyncio.gather(stream.aclose(), stream.aclose())
    assert (begun, source.closed) == ([], 1)


@pytest.mark.parametrize(
    ("then", "leave"),
    [(end, "close"), (fail_with(OSError()), "close"), (hang, "interrupt"), (hang, "close")],
)
async def test_iterator_and_source_are_each_closed_once_whatever_the_end(
    manager: SessionManager, then: Callable[[], Awaitable[None]], leave: str
) -> None:
    closed: list[str] = []

    class Iterator:
        words = aiter(Source("word", then=then))

        async def __anext__(self) -> str:
            return await anext(self.words)

        async def aclose(self) -> None:
            closed.append("iterator")

        async def close(self) -> None:
            closed.append("both ways")

    class Iterable:
        def __aiter__(self) -> Any:
            return Iterator()

        def close(self) -> None:
            closed.append("source")

    stream: AgentStream[str] = manager.stream("s", A, Iterable())
    consumer = Consumer(stream, is_busy=False)
    await consumer.is_there()
    if leave == "interrupt":
        await manager.interrupt_streaming_agents("s")
    await stream.aclose()
    await asyncio.wait({consumer.task})
    assert consumer.task.exception() is None or then is not hang
    assert closed == ["iterator", "source"]


class Stubborn:
    """Yields a word, and then does not let itself be cancelled before it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        yield "word"
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                continue


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "waiting"])
async def test_a_source_that_does_not_close_fails_its_signal_and_is_logged_once(
    repository: InMemorySessionRepository, caplog: pytest.LogCaptureFixture, is_busy: bool
) -> None:
    source = Stubborn()
    async with worker(repository, limit_sec=0.1) as manager:
        stream = manager.stream("s", A, source)
        consumer = Consumer(stream, is_busy=is_busy)
        await consumer.is_there()
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
        told = "the source did not close within 0.1 s"
        assert await settlements(repository) == {"writer/a": ("failed", told)}
        await handle_and_trail_agree(repository, stream)
        consumer.task.cancel()
        await asyncio.wait({consumer.task})
        source.release.set()
    assert caplog.text.count("source_close_failed") == 1


async def test_a_stop_after_the_close_has_failed_says_that_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repository, source, gate = HostsRepository(), Stubborn(), Gate()

    async def fail_then_wait() -> None:
        if repository.finishes == 1:
            raise OSError("away")
        await gate()

    repository.before_finishing = fail_then_wait
    async with worker(repository, limit_sec=0.1) as manager:
        stream = manager.stream("s", A, source)
        await anext(stream)
        await stream.aclose()  # it is listed still, and its source has not closed
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
        told = "the source did not close within 0.1 s"
        assert await settlements(repository) == {"writer/a": ("failed", told)}
        gate.open()
        await eventually(lambda: stream.outcome == "interrupted")
        source.release.set()
    assert caplog.text.count("source_close_failed") == 1


async def test_a_source_that_goes_on_in_spite_of_its_closing_fails_its_signal(
    manager: SessionManager, repository: InMemorySessionRepository
) -> None:
    async def defiant() -> AsyncIterator[str]:
        while True:
            try:
                yield "word"
            except GeneratorExit:
                yield "never"

    stream = manager.stream("s", A, defiant())
    await anext(stream)
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
    _, detail = (await settlements(repository))["writer/a"]
    assert detail is not None
    assert "ignored GeneratorExit" in detail


async def test_a_source_that_answers_its_cancellation_with_an_error_has_ended(
    manager: SessionManager, repository: InMemorySessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    async def converting() -> AsyncIterator[str]:
        yield "word"
        try:
            await hang()
        except asyncio.CancelledError:
            raise ValueError("the run was stopped") from None

    stream = manager.stream("s", A, converting())
    await anext(stream)
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert [item async for item in stream] == []
    assert caplog.text.count("the run was stopped") == 1


async def test_the_next_turn_does_not_supersede_a_stream_whose_closing_hangs(
    repository: InMemorySessionRepository,
) -> None:
    source = Stubborn()
    async with worker(repository, limit_sec=0.2) as manager:
        async for _ in manager.stream("s", A, source):
            break
        connection = Connection()
        following = manager.stream("s", A, words(connection))
        await anext(following)
        await following.aclose()
        source.release.set()
    finished = await events(repository, "stream_finished")
    assert [event.outcome for event in finished] == ["abandoned", "abandoned"]
    assert await events(repository, "signal_settled") == []


async def test_a_scope_that_runs_out_while_the_consumer_is_busy_is_the_sources_to_handle(
    manager: SessionManager,
) -> None:
    too_slow = asyncio.Event()

    async def patient() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.01):
                yield "word"
                await hang()
        except TimeoutError:
            with anyio.move_on_after(0.01):
                too_slow.set()
                yield "That took too long."
                await hang()
            yield "This as well."

    stream = manager.stream("s", A, patient())
    assert await anext(stream) == "word"
    await too_slow.wait()
    await asyncio.sleep(0.05)  # the second one runs out, or does when it is waited in
    assert [item async for item in stream] == ["That took too long.", "This as well."]
    assert stream.outcome == "completed"


@pytest.fixture(autouse=True)
def warnings_are_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="session_router")
