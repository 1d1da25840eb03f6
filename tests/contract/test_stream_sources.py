"""`stream()`: every kind of source, iterated and closed in one task; and its session's touches."""

import asyncio
import gc
from collections.abc import AsyncIterable, AsyncIterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from session_router import AgentId, Session, SessionManager, SessionRepository
from tests.contract.conftest import Managers
from tests.support.sources import Source, end, fail_with, hang
from tests.support.trail import events, story
from tests.support.waiting import eventually

A = AgentId("writer", "a")
TINY_MINUTES = 0.04 / 60

caller: ContextVar[str] = ContextVar("caller", default="nobody")


class Plain:
    """An async iterator that is no generator: it has no `aclose`."""

    def __init__(self, *items: str) -> None:
        self._items = list(items)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)


class Broken:
    """Fails before there is an iterator."""

    def __aiter__(self) -> AsyncIterator[str]:
        raise LookupError("no model")


class OutsideException(BaseException):
    """As libraries have for their control flow."""


async def finished(repository: SessionRepository) -> list[str]:
    """How the streams of the trail ended, once none is left."""

    async def none_is_left() -> bool:
        return not await repository.list_streams("s")

    await eventually(none_is_left)
    return [str(event.outcome) for event in await events(repository, "stream_finished")]


@pytest.mark.parametrize("then", [end, hang, fail_with(OSError())])
@pytest.mark.parametrize("leave", ["to its end", "close", "cancel", "drop", "interrupt"])
async def test_one_task_iterates_and_closes_the_source_whichever_way_it_ends(
    manager: SessionManager, repository: SessionRepository, leave: str, then: Any
) -> None:
    if leave == "to its end" and then is hang:
        return
    source = Source("one", "two", then=then)
    stream = manager.stream("s", A, source)
    await asyncio.create_task(_take(stream))
    await asyncio.create_task(_take(stream))
    if leave == "to its end":
        await asyncio.gather(anext(stream, "end"), return_exceptions=True)
    elif leave == "close":
        await stream.aclose()
    elif leave == "cancel":
        waiting = asyncio.create_task(_take(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    elif leave == "drop":
        del stream
        gc.collect()
    else:
        await manager.interrupt_streaming_agents("s")
    await eventually(lambda: source.is_closed)
    assert len(source.tasks) == 1
    assert asyncio.current_task() not in source.tasks
    await finished(repository)


@pytest.mark.parametrize("leave", ["to its end", "close", "interrupt"])
async def test_a_source_may_keep_cancel_scopes_open_around_its_items(
    manager: SessionManager, repository: SessionRepository, leave: str
) -> None:
    closed: list[str] = []

    async def words() -> AsyncIterator[str]:
        with anyio.CancelScope():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                try:
                    with anyio.move_on_after(60):
                        yield "one"
                    with anyio.move_on_after(0.01) as limit:
                        await anyio.sleep_forever()
                    assert limit.cancelled_caught
                    yield "two"
                finally:
                    group.cancel_scope.cancel()
                    closed.append("closed")

    stream = manager.stream("s", A, words())
    assert await anext(stream) == "one"
    if leave == "to its end":
        assert [item async for item in stream] == ["two"]
    elif leave == "close":
        await stream.aclose()
    else:
        await manager.interrupt_streaming_agents("s")
    assert closed == ["closed"]
    outcomes = {"to its end": "completed", "close": "abandoned", "interrupt": "interrupted"}
    assert await finished(repository) == [outcomes[leave]]


async def test_a_source_sees_its_consumers_context_and_may_change_its_own(
    manager: SessionManager,
) -> None:
    async def words() -> AsyncIterator[str]:
        yield caller.get()
        token = caller.set("source")
        yield caller.get()
        caller.reset(token)
        yield caller.get()

    caller.set("consumer")
    stream = manager.stream("s", A, words())
    assert [item async for item in stream] == ["consumer", "source", "consumer"]
    assert caller.get() == "consumer"


async def test_a_plain_iterator_without_aclose_is_a_source(
    manager: SessionManager, repository: SessionRepository
) -> None:
    assert [item async for item in manager.stream("s", A, Plain("one", "two"))] == ["one", "two"]
    stream = manager.stream("s", A, Plain("one", "two"))
    await anext(stream)
    await stream.aclose()
    assert await finished(repository) == ["completed", "abandoned"]


@pytest.mark.parametrize(
    ("source", "error"), [(Broken(), LookupError), (["one"], TypeError), (None, TypeError)]
)
async def test_what_cannot_be_iterated_fails_like_any_source(
    manager: SessionManager, repository: SessionRepository, source: Any, error: type[Exception]
) -> None:
    stream = manager.stream("s", A, source)
    with pytest.raises(error):
        await anext(stream)
    assert stream.outcome == "failed"
    assert await finished(repository) == ["failed"]


@pytest.mark.parametrize("error", [OutsideException(), GeneratorExit(), asyncio.CancelledError()])
async def test_an_exception_of_any_kind_ends_the_stream_and_reaches_the_consumer(
    manager: SessionManager, repository: SessionRepository, error: BaseException
) -> None:
    stream = manager.stream("s", A, Source("one", then=fail_with(error)))
    assert await anext(stream) == "one"
    consumer = asyncio.ensure_future(anext(stream))
    await asyncio.wait({consumer}, timeout=10)
    assert consumer.done()
    with pytest.raises(type(error)):
        await consumer
    assert await finished(repository) == ["failed"]


async def test_an_interrupted_consumer_does_not_wait_for_a_source_that_is_slow_to_close(
    manager: SessionManager, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def words() -> AsyncIterator[str]:
        try:
            yield "one"
            await hang()
        finally:
            await release.wait()

    stream = manager.stream("s", A, words())
    assert await anext(stream) == "one"
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await asyncio.sleep(0)
    interrupting = asyncio.create_task(manager.interrupt_streaming_agents("s"))
    assert await consumer == "end"
    assert not interrupting.done()
    release.set()
    assert await interrupting == [A]
    assert "signal_settled delivered writer/a" in await story(repository)


async def test_an_error_while_closing_is_not_the_consumers(
    manager: SessionManager, repository: SessionRepository
) -> None:
    async def words() -> AsyncIterator[str]:
        try:
            yield "one"
        finally:
            raise OSError("cannot close")

    stream = manager.stream("s", A, words())
    assert await anext(stream) == "one"
    await stream.aclose()
    assert await finished(repository) == ["abandoned"]


async def test_items_touch_the_session(managers: Managers, repository: SessionRepository) -> None:
    manager = managers(timeout_minutes=TINY_MINUTES, touch_resolution_sec=0)
    stream = manager.stream("s", A, _endless())
    await anext(stream)
    long_ago = datetime.now(UTC) - timedelta(days=1)
    await repository.save_session(
        Session(session_id="s", last_updated=long_ago, agents_streaming={A})
    )

    async def is_touched() -> bool:
        await anext(stream)
        session = await repository.find_session("s")
        assert session is not None
        return session.last_updated > long_ago

    await eventually(is_touched)
    await stream.aclose()


async def test_items_never_bring_an_ended_session_back(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(
        timeout_minutes=TINY_MINUTES, touch_resolution_sec=0, poll_interval_sec=3_600
    )
    stream = manager.stream("s", A, _endless())
    await anext(stream)
    await repository.delete_session("s")
    async with asyncio.timeout(60):
        for _ in range(100):  # each a millisecond; the session is touched every ten
            await anext(stream, "end")
    await stream.aclose()
    assert await repository.find_session("s") is None
    assert len(await events(repository, "session_started")) == 1


async def test_many_streams_of_a_session_are_interrupted_at_once(
    manager: SessionManager, repository: SessionRepository
) -> None:
    sources = {AgentId("writer", str(n)): Source("one", then=hang) for n in range(20)}
    streams = [manager.stream("s", agent, source) for agent, source in sources.items()]
    assert await asyncio.gather(*(anext(stream) for stream in streams)) == ["one"] * 20
    assert set(await manager.interrupt_streaming_agents("s")) == set(sources)
    assert all(source.is_closed for source in sources.values())
    assert {stream.outcome for stream in streams} == {"interrupted"}
    assert len([line for line in await story(repository) if "delivered" in line]) == 20


async def _endless() -> AsyncIterator[str]:
    while True:
        await asyncio.sleep(0.001)
        yield "word"


async def _take(stream: AsyncIterable[str]) -> str:
    return await anext(aiter(stream))
