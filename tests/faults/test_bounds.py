"""`shutdown_timeout_sec` and `wait` are bounds on the whole, whatever hangs meanwhile.

All other limits are a minute here, so that whoever waits for one of them is found out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from session_router import (
    AgentId,
    InMemorySessionRepository,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.repository.results import SweepBatch
from session_router.settings import Tuning
from tests.support.runtimes import Runtime
from tests.support.sql import connected

ALICE = AgentId("writer", "alice")
LONG_SEC = 60.0
ENOUGH_SEC = 20.0
EVERYTHING = """
    LOCK TABLE session_router.sessions, session_router.agent_streams, session_router.workers,
        session_router.interrupt_signals, session_router.session_events
"""


@pytest.fixture
async def slow_repository(postgres_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    """A repository that would wait for a minute."""
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=LONG_SEC)
    yield repository
    await repository.close()


class Unhurried(InMemorySessionRepository):
    """A host's own repository, whose sweep cannot be cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.is_sweeping = asyncio.Event()
        self.may_end = asyncio.Event()

    async def expire_sessions(self, *args: Any, **kwargs: Any) -> SweepBatch:
        self.is_sweeping.set()
        while not self.may_end.is_set():
            with suppress(asyncio.CancelledError):
                await self.may_end.wait()
        return SweepBatch(0, 0, [], None)


def manager_of(repository: SessionRepository, runtime: Runtime | None = None) -> SessionManager:
    tuning = Tuning(shutdown_timeout_sec=0.5, cancel_timeout_sec=LONG_SEC, lease_sec=3 * LONG_SEC)
    return SessionManager(repository, runtime, tuning=tuning)


async def endless() -> AsyncIterator[str]:
    yield "word"
    for _ in range(100):
        try:
            await asyncio.sleep(LONG_SEC)
        except asyncio.CancelledError:  # a source that takes no order
            await asyncio.sleep(LONG_SEC)


async def test_a_shutdown_waits_for_no_source_and_no_agent_that_hangs(
    slow_repository: SQLAlchemySessionRepository,
) -> None:
    runtime = Runtime(alice=lambda: asyncio.sleep(LONG_SEC))
    manager = manager_of(slow_repository, runtime)
    await manager.start()
    await manager.register_agent("chat", ALICE)
    stream = manager.stream("chat", AgentId("writer", "bob"), endless())
    assert await anext(stream) == "word"
    await SessionManager(slow_repository).interrupt_streaming_agents("chat")
    async with asyncio.timeout(ENOUGH_SEC):
        await manager.shutdown()


async def test_a_shutdown_waits_for_no_job_that_cannot_be_cancelled() -> None:
    repository = Unhurried()
    manager = manager_of(repository)
    await manager.start()
    await repository.is_sweeping.wait()
    async with asyncio.timeout(ENOUGH_SEC):
        await manager.shutdown()
    assert await repository.list_workers() == []
    repository.may_end.set()


async def test_a_shutdown_waits_for_no_database_that_hangs(
    slow_repository: SQLAlchemySessionRepository, postgres_url: str
) -> None:
    manager = manager_of(slow_repository)
    await manager.start()
    stream = manager.stream("chat", ALICE, endless())
    assert await anext(stream) == "word"
    async with connected(postgres_url) as other, other.transaction():
        await other.execute(EVERYTHING)
        async with asyncio.timeout(ENOUGH_SEC):
            await manager.shutdown()


async def test_who_waits_for_receipts_waits_for_no_database_that_hangs(
    slow_repository: SQLAlchemySessionRepository, postgres_url: str
) -> None:
    async with connected(postgres_url) as other, other.transaction():

        async def hold_everything() -> None:
            await other.execute(EVERYTHING)

        manager = manager_of(slow_repository, Runtime(alice=hold_everything))
        await manager.register_agent("chat", ALICE)
        async with asyncio.timeout(ENOUGH_SEC):
            outcomes = await manager.interrupt_streaming_agents("chat", wait=0.5)
    assert outcomes == {ALICE: None}
    await manager.shutdown()
