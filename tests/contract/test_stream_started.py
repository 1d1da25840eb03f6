"""`AgentStream.start()`: a stream is registered, or its error told, before the first item."""

import asyncio
import gc

import pytest

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    DeadlineExceededError,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.worker.stream import AgentStream
from tests.support.locks import session_held, somebody_waits
from tests.support.repositories import HostsRepository
from tests.support.sources import Source, fail_with
from tests.support.trail import events, story
from tests.support.waiting import Gate, eventually

A = AgentId("writer", "a")


async def test_a_started_stream_is_listed_and_its_source_untouched(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two")
    stream = manager.stream("s", A, source)
    await stream.start()
    [row] = await repository.list_streams("s")
    assert row.stream_id == stream.stream_id
    assert (source.produced, stream.outcome) == (0, None)
    assert [item async for item in stream] == ["one", "two"]
    assert stream.outcome == "completed"
    assert len(await events(repository, "stream_started")) == 1


async def test_starting_again_or_in_the_middle_changes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source("one", "two"))
    await asyncio.gather(stream.start(), stream.start())
    assert await anext(stream) == "one"
    await stream.start()
    assert [item async for item in stream] == ["two"]
    await stream.start()
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished completed writer/a",
    ]


@pytest.mark.parametrize(
    "error", [DatabaseUnavailableError("away", nothing_written=True), RuntimeError("a bug")]
)
async def test_an_error_of_registering_is_raised_once_by_it(error: Exception) -> None:
    repository = HostsRepository()
    repository.before_registering = fail_with(error)
    source = Source("one")
    async with SessionManager(repository) as manager:
        stream = manager.stream("s", A, source)
        with pytest.raises(type(error), match=str(error)):
            await stream.start()
        assert stream.outcome == "failed"
        assert source.produced == 0
        assert [item async for item in stream] == []
        await stream.start()


async def test_what_may_have_been_registered_is_unregistered() -> None:
    repository = HostsRepository()
    repository.after_registering = fail_with(DeadlineExceededError.of(1))
    async with SessionManager(repository) as manager:
        with pytest.raises(DeadlineExceededError):
            await manager.stream("s", A, Source("one")).start()
        assert await repository.list_streams("s") == []
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished failed writer/a",
    ]


async def test_an_interrupt_between_start_and_the_first_item_yields_nothing(
    manager: SessionManager,
) -> None:
    source = Source("one")
    stream = manager.stream("s", A, source)
    await stream.start()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert [item async for item in stream] == []
    assert (stream.outcome, source.produced) == ("interrupted", 0)


async def test_a_started_stream_that_nobody_iterates_is_abandoned_when_dropped(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await _start_and_drop(manager)
    gc.collect()
    finished = await eventually(lambda: events(repository, "stream_finished"))
    assert [event.outcome for event in finished] == ["abandoned"]


async def _start_and_drop(manager: SessionManager) -> None:
    stream: AgentStream[str] = manager.stream("s", A, Source("one"))
    await stream.start()


async def test_a_start_on_a_stream_that_was_left_registers_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source("one"))
    await stream.aclose()
    await stream.start()
    assert await events(repository) == []


async def test_a_start_that_is_cancelled_leaves_no_row(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        await manager.start_session("s")
        stream = manager.stream("s", A, Source("one"))
        async with session_held(database_url, "s"):
            starting = asyncio.create_task(stream.start())
            await asyncio.sleep(0)
            await eventually(lambda: somebody_waits(database_url))
            starting.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({starting})
        assert starting.cancelled()
        assert await repository.list_streams("s") == []
        assert stream.outcome == "abandoned"
    await repository.close()


async def test_a_start_while_the_worker_stops_ends() -> None:
    repository = HostsRepository()
    gate = Gate()
    repository.before_registering = gate
    manager = SessionManager(repository)
    stream = manager.stream("s", A, Source("one"))
    starting = asyncio.create_task(stream.start())
    await gate.is_reached.wait()
    stopping = asyncio.create_task(manager.shutdown())
    await asyncio.sleep(0)
    gate.open()
    await asyncio.wait({starting, stopping})
    await eventually(lambda: stream.outcome is not None)
    assert await repository.list_streams("s") == []
