"""When the database keeps one waiting, or fails: whoever leaves meanwhile leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from session_router import (
    AgentId,
    DeadlineExceededError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.settings import Tuning
from tests.support.laws import violations
from tests.support.locks import session_held, somebody_waits, without_signals
from tests.support.runtimes import Runtime
from tests.support.sources import Source, hang
from tests.support.trail import settlements
from tests.support.waiting import eventually

A = AgentId("writer", "a")


@asynccontextmanager
async def worker(
    url: str, runtime: Runtime | None = None, *, deadline_sec: float = 10
) -> AsyncIterator[SessionManager]:
    """A worker that has entered and does not sweep, so that only a registration can wait."""
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=deadline_sec)
    manager = SessionManager(repository, runtime, tuning=Tuning(poll_interval_sec=3_600))
    try:
        await manager.register_agent("s", AgentId("critic", "a"))
        await manager.unmark_agent_streaming("s", AgentId("critic", "a"))
        yield manager
        await manager.shutdown()
        assert await violations(repository) == []
    finally:
        await repository.close()


async def nothing_streams(manager: SessionManager) -> bool:
    return await manager.repository.list_streams("s") == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_consumer_cancelled_while_its_stream_registers_leaves_no_row(
    database_url: str, times: int
) -> None:
    source = Source("one")
    async with worker(database_url) as manager:
        stream = manager.stream("s", A, source)
        async with session_held(database_url, "s"):
            consumer = asyncio.ensure_future(anext(stream))
            await eventually(lambda: somebody_waits(database_url))
            for _ in range(times):
                consumer.cancel()
                await asyncio.sleep(0)
        await asyncio.wait({consumer})
        assert consumer.cancelled()
        await eventually(lambda: nothing_streams(manager))
        assert (source.produced, stream.outcome) == (0, "abandoned")


async def test_a_stream_closed_while_it_registers_leaves_no_row(database_url: str) -> None:
    async with worker(database_url) as manager:
        stream = manager.stream("s", A, Source("one"))
        async with session_held(database_url, "s"):
            consumer = asyncio.ensure_future(anext(stream, "end"))
            await eventually(lambda: somebody_waits(database_url))
            closing = asyncio.create_task(stream.aclose())
            await asyncio.sleep(0)
        await closing
        assert await consumer == "end"
        assert await nothing_streams(manager)
        assert stream.outcome == "abandoned"


async def test_a_registration_past_its_deadline_fails_and_leaves_no_row(database_url: str) -> None:
    source = Source("one")
    async with worker(database_url, deadline_sec=0.5) as manager:
        stream = manager.stream("s", A, source)
        async with session_held(database_url, "s"):
            with pytest.raises(DeadlineExceededError, match="nothing was written"):
                await anext(stream)
        assert [item async for item in stream] == []
        await eventually(lambda: nothing_streams(manager))
        assert (source.produced, stream.outcome) == (0, "failed")


async def test_an_agent_that_is_just_registering_elsewhere_is_not_hit(postgres_url: str) -> None:
    runtime = Runtime()
    async with worker(postgres_url, runtime) as manager:
        await manager.start_session("held")
        await manager.register_agent("s", A)
        async with session_held(postgres_url, "held"):
            registering = asyncio.create_task(manager.register_agent("held", A))
            await eventually(lambda: somebody_waits(postgres_url))
            # Its runtime can cancel the agent only, and so the stream that is about to begin.
            assert await manager.interrupt_streaming_agents("s") == [A]
            assert await settlements(manager.repository) == {"writer/a": ("failed", "superseded")}
        await registering
    assert runtime.cancels("a") == 0


async def test_a_session_that_is_held_delays_the_streams_of_no_other(postgres_url: str) -> None:
    async with worker(postgres_url) as manager:
        await manager.start_session("held")
        async with session_held(postgres_url, "held"):
            registering = asyncio.create_task(manager.register_agent("held", A))
            await eventually(lambda: somebody_waits(postgres_url))
            stream = manager.stream("s", A, Source("one", then=hang))
            assert await anext(stream) == "one"
            await stream.aclose()
            assert not registering.done()
        await registering


async def test_shutting_down_while_the_database_fails_leaves_no_consumer_waiting(
    database_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager, source = SessionManager(repository), Source("one", then=hang)
    stream = manager.stream("s", A, source)
    assert await anext(stream) == "one"
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await source.is_at_end.wait()
    async with without_signals(database_url):
        await manager.shutdown()
        await asyncio.wait({consumer}, timeout=10)
        assert consumer.done()
        await eventually(lambda: source.is_closed)
        await stream.aclose()
        await repository.close()
