"""`stream()`: sources that are opened after the registration, in the task that iterates them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from session_router import AgentId, InMemorySessionRepository, SessionManager, SessionRepository
from session_router.errors import DatabaseUnavailableError
from tests.support.repositories import HostsRepository
from tests.support.sources import Source, end, fail_with, hang
from tests.support.trail import settlements
from tests.support.waiting import Gate, eventually

A = AgentId("writer", "a")


@pytest.fixture
def repository() -> InMemorySessionRepository:
    """What happens to sources is the same over every repository."""
    return InMemorySessionRepository()


@pytest.fixture
async def manager(repository: InMemorySessionRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository) as manager:
        yield manager


class Run:
    """What a framework starts for a turn: it notes what is done with it.

    Attributes:
        is_listed: whether the stream was registered when it was opened.
        left_with: what the context manager was left with.
    """

    def __init__(
        self,
        repository: SessionRepository,
        *,
        then: Any = end,
        opening: Any = end,
        leaving: Any = end,
    ) -> None:
        self.source = Source("one", "two", then=then)
        self.opened = 0
        self.is_listed = False
        self.left_with: list[BaseException | None] = []
        self.tasks: set[Any] = set()
        self._repository = repository
        self._opening = opening
        self._leaving = leaving

    async def answer(self) -> Source:
        self._note()
        self.is_listed = bool(await self._repository.list_streams("s"))
        await self._opening()
        return self.source

    @asynccontextmanager
    async def context(self) -> AsyncIterator[Source]:
        source = await self.answer()
        try:
            yield source
        except BaseException as error:
            self.left_with.append(error)
            raise
        else:
            self.left_with.append(None)
        finally:
            self._note()
            await self._leaving()

    async def context_awaited(self) -> Any:
        return self.context()

    def generator(self) -> AsyncIterator[str]:
        return self._generate()

    async def _generate(self) -> AsyncIterator[str]:
        async for item in await self.answer():
            yield item

    def _note(self) -> None:
        self.opened += 1
        self.tasks.add(asyncio.current_task())


Opener = Callable[[Run], Callable[[], Any]]

OPENERS: dict[str, Opener] = {
    "awaitable": lambda run: run.answer,
    "context manager": lambda run: run.context,
    "awaitable of a context manager": lambda run: run.context_awaited,
    "generator": lambda run: run.generator,
}
either = pytest.mark.parametrize("kind", OPENERS)


@either
async def test_a_callable_is_called_when_the_stream_is_listed(
    manager: SessionManager, repository: SessionRepository, kind: str
) -> None:
    run = Run(repository)
    stream = manager.stream("s", A, OPENERS[kind](run))
    assert run.opened == 0
    assert [item async for item in stream] == ["one", "two"]
    assert run.is_listed
    assert run.source.is_closed
    assert stream.outcome == "completed"
    # Cancel scopes may be open across it all: one task opens, iterates and leaves.
    assert len(run.tasks | run.source.tasks) == 1
    assert run.left_with in ([], [None])


@either
async def test_an_interrupt_leaves_what_was_opened(
    manager: SessionManager, repository: SessionRepository, kind: str
) -> None:
    run = Run(repository, then=hang)
    stream = manager.stream("s", A, OPENERS[kind](run))
    consumer = asyncio.create_task(_items(stream))
    await run.source.is_at_end.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert await consumer == ["one", "two"]
    assert run.source.is_closed
    assert [type(error) for error in run.left_with] in ([], [asyncio.CancelledError])
    assert len(run.tasks | run.source.tasks) == 1


@either
async def test_nothing_is_opened_where_registering_fails(kind: str) -> None:
    repository = HostsRepository()
    repository.before_registering = fail_with(DatabaseUnavailableError("away"))
    run = Run(repository)
    manager = SessionManager(repository)
    with pytest.raises(DatabaseUnavailableError):
        await anext(manager.stream("s", A, OPENERS[kind](run)))
    assert run.opened == 0
    await manager.shutdown()


async def test_a_stream_that_is_never_asked_opens_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    run = Run(repository)
    stream = manager.stream("s", A, run.context)
    await stream.start()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert [item async for item in stream] == []
    assert run.opened == 0


@either
async def test_an_interrupt_stops_the_opening_too(
    manager: SessionManager, repository: SessionRepository, kind: str
) -> None:
    gate = Gate()
    run = Run(repository, opening=gate)
    stream = manager.stream("s", A, OPENERS[kind](run))
    consumer = asyncio.create_task(_items(stream))
    await gate.is_reached.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert await consumer == []
    assert run.source.produced == 0


@either
async def test_an_opening_that_fails_is_the_consumers_to_see(
    manager: SessionManager, repository: SessionRepository, kind: str
) -> None:
    run = Run(repository, opening=fail_with(LookupError("no model")))
    stream = manager.stream("s", A, OPENERS[kind](run))
    with pytest.raises(LookupError, match="no model"):
        await anext(stream)
    assert stream.outcome == "failed"


async def test_an_opening_that_takes_a_cancellation_for_nothing_is_not_iterated(
    manager: SessionManager, repository: SessionRepository
) -> None:
    entered = asyncio.Event()

    async def stubborn() -> None:
        entered.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    run = Run(repository, opening=stubborn)
    consumer = asyncio.create_task(_items(manager.stream("s", A, run.context)))
    await entered.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert await consumer == []
    assert (run.source.produced, run.left_with) == (0, [None])


async def test_the_context_manager_is_left_with_what_ended_the_iteration(
    manager: SessionManager, repository: SessionRepository
) -> None:
    failure = LookupError("in the middle")
    run = Run(repository, then=fail_with(failure))
    stream = manager.stream("s", A, run.context)
    with pytest.raises(LookupError):
        await _items(stream)
    assert run.left_with == [failure]
    assert stream.outcome == "failed"


async def test_a_context_manager_that_fails_to_leave_fails_the_signal(
    manager: SessionManager, repository: SessionRepository, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(repository, then=hang, leaving=fail_with(OSError("cannot hang up")))
    consumer = asyncio.create_task(_items(manager.stream("s", A, run.context)))
    await run.source.is_at_end.wait()
    with caplog.at_level(logging.WARNING, "session_router"):
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
    reason = "closing the source raised OSError: cannot hang up"
    assert await settlements(repository) == {"writer/a": ("failed", reason)}
    assert await consumer == ["one", "two"]


@pytest.mark.parametrize("given", [None, ["one"], Source], ids=["nothing", "list", "class"])
async def test_a_callable_that_gives_nothing_to_iterate_says_what_it_should(
    manager: SessionManager, given: Any
) -> None:
    with pytest.raises(TypeError, match="give an async iterable, or a callable without arguments"):
        await anext(manager.stream("s", A, lambda: given))


class Connected:
    """As a client's response: iterable, and a context manager as well, whose leaving closes it."""

    def __init__(self) -> None:
        self.entered = 0
        self.closed = 0
        self.iterator_closed = False

    async def __aenter__(self) -> "Connected":
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            yield "one"
            await hang()
        finally:
            self.iterator_closed = True

    async def close(self) -> None:
        self.closed += 1


async def test_what_is_both_is_entered_and_closed_once_by_its_own_leaving(
    manager: SessionManager,
) -> None:
    connected = Connected()
    stream = manager.stream("s", A, lambda: connected)
    assert await anext(stream) == "one"
    await stream.aclose()
    assert (connected.entered, connected.closed, connected.iterator_closed) == (1, 1, True)


async def test_a_coroutine_is_refused_as_a_source(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream: Any = manager.stream("s", A, Run(repository).answer())  # type: ignore[arg-type]  # a mistake
    with pytest.raises(TypeError, match="type 'coroutine'"):
        await anext(stream)
    await eventually(lambda: stream.outcome == "failed")


async def _items(stream: AsyncIterator[str]) -> list[str]:
    return [item async for item in stream]
