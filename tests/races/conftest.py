"""Two transactions at once on PostgreSQL, stopped where a test wants them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from session_router import AgentId, SQLAlchemySessionRepository
from session_router.database.schema import Tables, build_tables
from session_router.repository.changes import Register
from session_router.repository.records import Requester
from session_router.repository.sql import access
from tests.support.laws import violations

T = TypeVar("T")

WRITER = AgentId("writer", "alice")
BY_TEST = Requester()

LIMIT_SEC = 60
"""Only a failure takes so long; a busy machine may stand still for seconds."""


class Race:
    """One transaction that is held open, and another that is seen to wait for it.

    The held one runs the repository's own functions on the test's connection, and commits when
    the test has seen the other blocked: so the interleaving happens, whatever the timing.
    """

    def __init__(self, engine: AsyncEngine, repository: SQLAlchemySessionRepository) -> None:
        self._engine = engine
        self.repository = repository
        self.tables: Tables = build_tables("session_router")

    @asynccontextmanager
    async def held(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that stays open until the block ends, and then commits."""
        async with self._engine.begin() as conn:
            yield conn

    async def blocked(self, operation: Coroutine[Any, Any, T], at: str = "") -> asyncio.Task[T]:
        """Start an operation and return when the server says that it waits for a lock.

        Args:
            at: how the statement begins in which it is to wait.
        """
        task = asyncio.create_task(operation)
        async with asyncio.timeout(LIMIT_SEC), self._engine.connect() as conn:
            while not await self._waits(conn, at):
                assert not task.done(), "the operation did not wait"
                await asyncio.sleep(0.005)
        return task

    async def worker(self) -> UUID:
        worker_id = uuid4()
        await self.repository.add_worker(worker_id, "host", 1)
        return worker_id

    async def register(self, session_id: str, worker_id: UUID) -> UUID:
        registration = await self.repository.register_stream(
            Register(session_id, WRITER, worker_id, uuid4(), renew=False)
        )
        return registration.stream_id

    async def _waits(self, conn: AsyncConnection, at: str) -> bool:
        found = await conn.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND starts_with(query, :at)"
            ),
            {"at": at},
        )
        await conn.rollback()
        return bool(found.scalar_one())


async def within(awaitable: Awaitable[T]) -> T:
    """What was blocked must come to an end once its way is free."""
    async with asyncio.timeout(LIMIT_SEC):
        return await awaitable


@pytest.fixture
async def race(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Race]:
    """Checks the conservation laws when the test is over."""
    monkeypatch.setattr(access, "_RESERVED_DEADLINE_SEC", LIMIT_SEC)
    engine = create_async_engine(postgres_url, isolation_level="READ COMMITTED")
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=LIMIT_SEC)
    try:
        yield Race(engine, repository)
        assert await violations(repository) == []
    finally:
        await repository.close()
        await engine.dispose()
