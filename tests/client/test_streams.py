"""What two programs over HTTP do to each other's streams."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from session_router import (
    AgentId,
    SessionBusyError,
    SignalOutcome,
    StreamExistsError,
    UnsupportedError,
)
from session_router.client import connect
from tests.client.served import ServedRepository, served
from tests.support.laws import violations
from tests.support.sources import Source, hang
from tests.support.trail import story
from tests.support.waiting import eventually

A, B = AgentId("writer", "a"), AgentId("writer", "b/.. ü")


@pytest.fixture
async def service() -> AsyncIterator[ServedRepository]:
    async with served() as repository:
        yield repository
        assert await violations(repository) == []


async def test_a_source_that_hangs_is_stopped_by_another_program(service: ServedRepository) -> None:
    source = Source("one", then=hang)
    async with connect(service.url) as owner, connect(service.url) as other:
        stream = owner.stream("a/.. %2F", B, source)
        consumer = asyncio.ensure_future(_items(stream))
        await source.is_at_end.wait()
        outcomes = await other.interrupt_streaming_agents("a/.. %2F", wait=20)
        assert outcomes == {B: SignalOutcome.DELIVERED}
        assert await consumer == ["one"]
        assert (source.is_closed, stream.outcome) == (True, "interrupted")
        assert await other.repository.list_streams("a/.. %2F") == []
    assert "signal_settled delivered writer/b/.. ü" in await story(service)


async def test_on_return_from_an_interrupt_ones_own_streams_are_closed(
    service: ServedRepository,
) -> None:
    source = Source("one", then=hang)
    async with connect(service.url) as manager:
        stream = manager.stream("s", A, source)
        assert await anext(stream) == "one"
        request = await manager.request_interrupt("s", actor="ann", reason="enough")
        assert source.is_closed
        assert request is not None
        [stopped] = request.streams
        assert (stopped.stream_id, stopped.worker_id) == (stream.stream_id, manager.worker_id)
        receipts = await manager.receipts(request.request_id)
        assert receipts is not None
        assert (receipts.delivered, receipts.open) == (1, 0)
        assert await _items(stream) == []


async def test_who_is_in_the_way_is_told_as_by_the_library(service: ServedRepository) -> None:
    async with connect(service.url) as owner, connect(service.url) as other:
        name = await owner.register_agent("s", A)
        with pytest.raises(SessionBusyError) as busy:
            await other.register_agent("s", A, when_busy="refuse")
        assert (busy.value.session_id, busy.value.streams) == ("s", {name: str(A)})
        with pytest.raises(StreamExistsError) as taken:
            await other.register_agent("s", A, stream_id=name)
        assert taken.value.stream_id == name


async def test_leaving_ends_the_streams_of_the_program(service: ServedRepository) -> None:
    async with connect(service.url) as manager:
        await manager.register_agent("s", A)
    assert "stream_finished worker_stopped writer/a" in await story(service)
    assert not service._workers.keys() - {service_worker(service)}


async def test_a_program_that_comes_back_is_a_new_worker(service: ServedRepository) -> None:
    manager = connect(service.url)
    async with manager:
        first = manager.worker_id
    async with manager:
        assert manager.worker_id != first
        await manager.register_agent("s", A)
        await eventually(lambda: manager.wake_ups.mode == "listening")


async def test_what_only_the_owner_of_the_database_does_is_refused(
    service: ServedRepository,
) -> None:
    async with connect(service.url) as manager:
        with pytest.raises(UnsupportedError, match="the service does"):
            await manager.expire_old_sessions()
        with pytest.raises(UnsupportedError, match="session_id"):
            await manager.repository.list_events()


async def test_lists_go_from_page_to_page(service: ServedRepository) -> None:
    async with connect(service.url) as manager:
        for number in range(3):
            await manager.start_session(f"s{number}")
        for reads in (1, 2, 5):
            found = await manager.repository.list_sessions(limit=reads)
            assert [s.session_id for s in found] == ["s0", "s1", "s2"][:reads]
        [event] = await manager.repository.list_events("s1", limit=5_000)
        assert event.event == "session_started"


def service_worker(service: ServedRepository) -> object:
    """The worker of the service itself, which entered first."""
    return next(iter(service._workers))


async def _items(stream: AsyncIterator[str]) -> list[str]:
    return [item async for item in stream]
