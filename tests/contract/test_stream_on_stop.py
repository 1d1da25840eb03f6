"""`stream(on_stop=)`: what is behind a source is stopped in its own way, then cancelled."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from session_router import AgentId, InMemorySessionRepository, SessionManager
from session_router.settings import Tuning
from tests.support.sources import Source, hang, ignore_one_cancellation
from tests.support.trail import settlements
from tests.support.waiting import Gate, eventually

A = AgentId("writer", "a")


@pytest.fixture
def repository() -> InMemorySessionRepository:
    """What happens to sources is the same over every repository."""
    return InMemorySessionRepository()


@pytest.fixture
async def manager(repository: InMemorySessionRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository, tuning=Tuning(cancel_timeout_sec=1)) as manager:
        yield manager


class Agent:
    """An agent with a task of its own behind its source, which no cancellation of that reaches.

    Attributes:
        told: what happened, in order.
    """

    def __init__(self, *, obeys: bool = True, items: int = 1) -> None:
        self.told: list[str] = []
        self.is_waiting = asyncio.Event()
        self._obeys = obeys
        self._items = items
        self._token = asyncio.Event()

    async def source(self) -> AsyncIterator[int]:
        try:
            for number in range(self._items):
                yield number
            self.is_waiting.set()
            await self._token.wait()
            if not self._obeys:
                await hang()
            self.told.append("obeyed")
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise
        finally:
            self.told.append("closed")

    def stop(self) -> None:
        self.told.append("stop")
        self._token.set()

    async def stop_politely(self) -> None:
        await asyncio.sleep(0)
        self.stop()
        await asyncio.sleep(0)


async def _items(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


@pytest.mark.parametrize("way", ["stop", "stop_politely"])
async def test_it_is_called_before_the_cancellation(manager: SessionManager, way: str) -> None:
    agent = Agent(obeys=False)
    stream = manager.stream("s", A, agent.source, on_stop=getattr(agent, way))
    consumer = asyncio.create_task(_items(stream))
    await agent.is_waiting.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert agent.told == ["stop", "cancelled", "closed"]
    assert await consumer == [0]
    assert stream.outcome == "interrupted"


async def test_a_source_that_ends_of_it_is_an_interrupted_one(manager: SessionManager) -> None:
    agent = Agent()

    async def stop_and_wait() -> None:
        agent.stop()
        await eventually(lambda: "closed" in agent.told)

    stream = manager.stream("s", A, agent.source(), on_stop=stop_and_wait)
    consumer = asyncio.create_task(_items(stream))
    await agent.is_waiting.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert agent.told == ["stop", "obeyed", "closed"]
    assert (await consumer, stream.outcome) == ([0], "interrupted")


@pytest.mark.parametrize("way", ["break", "cancelled", "superseded", "ended", "shut down"])
async def test_every_way_to_leave_a_source_before_its_end_calls_it_once(
    manager: SessionManager, way: str
) -> None:
    agent = Agent(obeys=False)
    stream = manager.stream("s", A, agent.source, on_stop=agent.stop)
    consumer = asyncio.create_task(_items(stream))
    await agent.is_waiting.wait()
    if way == "break":
        await stream.aclose()
    elif way == "cancelled":
        consumer.cancel()
    elif way == "superseded":
        await manager.stream("s", A, Source()).start()
    elif way == "ended":
        await manager.end_session("s")
    else:
        await manager.shutdown()
    await asyncio.wait({consumer})
    await eventually(lambda: agent.told == ["stop", "cancelled", "closed"])


async def test_a_busy_consumer_does_not_keep_it_from_being_called(manager: SessionManager) -> None:
    agent = Agent(items=10)
    stream = manager.stream("s", A, agent.source, on_stop=agent.stop)
    assert await anext(stream) == 0
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert agent.told[0] == "stop"
    assert agent.told[-1] == "closed"
    assert [item async for item in stream] == []


async def test_what_a_source_yields_while_it_is_stopped_is_dropped(
    manager: SessionManager,
) -> None:
    gate, stopping = asyncio.Event(), Gate()

    async def source() -> AsyncIterator[str]:
        yield "one"
        await gate.wait()
        yield "last words"

    stream = manager.stream("s", A, source, on_stop=stopping)
    consumer = asyncio.create_task(_items(stream))
    await eventually(lambda: manager.repository.list_streams("s"))
    closing = asyncio.create_task(stream.aclose())
    await stopping.is_reached.wait()
    gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    stopping.open()
    await closing
    assert await consumer in ([], ["one"])
    assert stream.outcome == "abandoned"


@pytest.mark.parametrize("then", ["completed", "failed", "never opened"])
async def test_a_source_that_ends_by_itself_is_not_stopped(
    manager: SessionManager, then: str
) -> None:
    told: list[str] = []

    async def source() -> AsyncIterator[str]:
        yield "one"
        if then == "failed":
            raise LookupError("no model")

    stream = manager.stream("s", A, source, on_stop=lambda: told.append("stop"))
    if then == "never opened":
        await stream.start()
        await manager.interrupt_streaming_agents("s", wait=10)
    else:
        await asyncio.gather(_items(stream), return_exceptions=True)
    await stream.aclose()
    assert told == []


async def fails() -> None:
    raise LookupError("no such run")


async def times_out() -> None:
    raise TimeoutError("no answer from the model")


@pytest.mark.parametrize(
    ("on_stop", "reason"),
    [
        (fails, "on_stop raised LookupError: no such run"),
        (times_out, "on_stop raised TimeoutError: no answer from the model"),
        (hang, "on_stop took longer than 0.5 s"),
    ],
)
async def test_where_it_fails_the_source_is_cancelled_and_the_signal_says_why(
    manager: SessionManager,
    repository: InMemorySessionRepository,
    caplog: pytest.LogCaptureFixture,
    on_stop: Any,
    reason: str,
) -> None:
    agent = Agent()
    stream = manager.stream("s", A, agent.source, on_stop=on_stop)
    consumer = asyncio.create_task(_items(stream))
    await agent.is_waiting.wait()
    with caplog.at_level(logging.WARNING, "session_router"):
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
    assert await settlements(repository) == {"writer/a": ("failed", reason)}
    assert agent.told == ["cancelled", "closed"]
    assert await consumer == [0]


async def test_one_that_will_not_be_cancelled_does_not_keep_the_source(
    manager: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent()
    is_over = False

    async def stubborn() -> None:
        while not is_over:
            await ignore_one_cancellation()

    stream = manager.stream("s", A, agent.source, on_stop=stubborn)
    consumer = asyncio.create_task(_items(stream))
    await agent.is_waiting.wait()
    with caplog.at_level(logging.WARNING, "session_router"):
        assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "failed"}
    assert agent.told == ["cancelled", "closed"]
    await consumer
    is_over = True
    [left] = [task for task in asyncio.all_tasks() if "on_stop" in task.get_name()]
    left.cancel()
    await asyncio.wait({left})


async def test_a_task_that_it_cancels_and_awaits_is_no_failure(manager: SessionManager) -> None:
    work = asyncio.create_task(hang())

    async def source() -> AsyncIterator[None]:
        await work
        yield

    async def cancel() -> None:
        work.cancel()
        await work

    stream = manager.stream("s", A, source, on_stop=cancel)
    consumer = asyncio.create_task(_items(stream))
    await eventually(lambda: manager.repository.list_streams("s"))
    await asyncio.sleep(0)
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert await consumer == []
