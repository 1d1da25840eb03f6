"""The service is killed, restarted, and takes a key no more, while streams of a client flow."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    KeyRefusedError,
    SignalOutcome,
    SQLAlchemySessionRepository,
    Tuning,
)
from session_router.access import Keys, NewKey
from session_router.client import RemoteManager, connect
from tests.http.service import Service
from tests.support.laws import violations
from tests.support.postgres import free_port
from tests.support.sources import Source, hang
from tests.support.trail import story
from tests.support.waiting import eventually

A = AgentId("writer", "a")


@contextmanager
def serving(url: str, port: int, lease_sec: float = 30) -> Iterator[Service]:
    """A service in a process of its own, on this port."""
    with Service.running(
        database_url=url,
        http_port=port,
        drain_sec=0,
        lease_sec=lease_sec,
        heartbeat_interval_sec=lease_sec / 6,
        operation_deadline_sec=lease_sec / 2,
    ) as service:
        yield service


@asynccontextmanager
async def lawful(url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    """A look into the database, which keeps the laws in the end."""
    repository = SQLAlchemySessionRepository.from_url(url)
    try:
        yield repository
        assert await violations(repository) == []
    finally:
        await repository.close()


async def ticks() -> AsyncIterator[int]:
    """Numbers without an end."""
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.05)


async def is_listening(manager: RemoteManager) -> None:
    await eventually(lambda: manager.wake_ups.mode == "listening")


async def kill(service: Service) -> None:
    service.order(signal.SIGKILL)
    await service.exit_code()


async def test_a_stream_flows_on_through_a_restart_and_can_be_stopped_afterwards(
    sqlite_url: str,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with lawful(sqlite_url) as repository:
        with serving(sqlite_url, port) as service:
            manager = connect(url)
            await manager.start()
            stream = manager.stream("s", A, ticks())
            assert await anext(stream) == 0
            await is_listening(manager)
            worker_id = manager.worker_id
            await kill(service)
        await eventually(lambda: manager.wake_ups.mode == "polling")
        assert await anext(stream) > 0
        with serving(sqlite_url, port):
            await is_listening(manager)
            assert await anext(stream) > 0
            assert manager.worker_id == worker_id
            async with connect(url) as other:
                told = await other.interrupt_streaming_agents("s", wait=20)
            assert told == {A: SignalOutcome.DELIVERED}
            assert [item async for item in stream] == []
            await manager.shutdown()
        assert "stream_finished interrupted writer/a" in await story(repository)


async def test_an_operation_waits_for_a_service_that_is_just_starting(sqlite_url: str) -> None:
    port = free_port()
    manager = connect(f"http://127.0.0.1:{port}", deadline_sec=60)
    asked = asyncio.ensure_future(manager.start_session("s"))
    with serving(sqlite_url, port):
        assert (await asked).session_id == "s"
        await manager.shutdown()


async def test_whoever_was_reaped_meanwhile_loses_its_streams_and_begins_anew(
    postgres_url: str,
) -> None:
    ours, theirs = free_port(), free_port()
    async with lawful(postgres_url) as repository:
        with serving(postgres_url, theirs, lease_sec=3):
            with serving(postgres_url, ours, lease_sec=3) as service:
                manager = connect(f"http://127.0.0.1:{ours}", deadline_sec=5)
                await manager.start()
                stream = manager.stream("s", A, ticks())
                assert await anext(stream) == 0
                worker_id = manager.worker_id
                await kill(service)
            await eventually(lambda: _is_told(repository, "stream_finished worker_lost writer/a"))
            with serving(postgres_url, ours, lease_sec=3):
                assert [item async for item in stream][-1] > 0
                assert stream.outcome == "interrupted"
                again = manager.stream("s", A, ticks())
                assert await anext(again) == 0
                assert manager.worker_id != worker_id
                await again.aclose()
                await manager.shutdown()
        assert "stream_finished abandoned writer/a" in await story(repository)


async def test_leaving_is_bounded_where_the_service_is_away(sqlite_url: str) -> None:
    port, source = free_port(), Source("one", then=hang)
    with serving(sqlite_url, port) as service:
        manager = connect(f"http://127.0.0.1:{port}", tuning=Tuning(shutdown_timeout_sec=2))
        await manager.start()
        stream = manager.stream("s", A, source)
        assert await anext(stream) == "one"
        await kill(service)
    async with asyncio.timeout(15):
        await manager.shutdown()
    assert source.is_closed
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_another_event_loop_gets_a_worker_of_its_own(sqlite_url: str) -> None:
    port = free_port()
    manager = connect(f"http://127.0.0.1:{port}")

    async def worked() -> UUID:
        async with manager:
            await manager.register_agent("s", A)
            return manager.worker_id

    with serving(sqlite_url, port):
        assert asyncio.run(worked()) != asyncio.run(worked())


async def test_a_service_that_is_away_is_told_as_a_database_that_is(sqlite_url: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    manager = connect(url, deadline_sec=2)
    with pytest.raises(DatabaseUnavailableError, match=f"the service at {url}") as away:
        await manager.start_session("s")
    assert away.value.nothing_written
    await manager.shutdown()


async def test_a_key_that_is_revoked_ends_the_streams_that_nobody_could_stop_any_more(
    sqlite_url: str,
) -> None:
    async with Keys.opened(sqlite_url) as keys, lawful(sqlite_url) as repository:
        key = NewKey.of("box", ["agent"])
        await keys.add(key, None, "test")
        port = free_port()
        with serving(sqlite_url, port, lease_sec=3):
            manager = connect(f"http://127.0.0.1:{port}", key.token)
            await manager.start()
            stream = manager.stream("s", A, ticks())
            assert await anext(stream) == 0
            with pytest.raises(KeyRefusedError, match="scope 'operate'"):
                await manager.end_session("s")
            await keys.revoke(key.key_id, "test")
            assert [item async for item in stream][-1] > 0
            assert stream.outcome == "interrupted"
            with pytest.raises(KeyRefusedError, match="session-router keys create"):
                await manager.register_agent("s", A)
            await manager.shutdown()
            await eventually(lambda: _is_told(repository, "stream_finished worker_lost writer/a"))


async def _is_told(repository: Any, line: str) -> bool:
    return line in await story(repository)
