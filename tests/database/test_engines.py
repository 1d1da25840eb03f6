"""Engines of a host's own, and databases in memory."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.schema import build_tables
from tests.support.laws import violations


async def test_a_database_in_memory_serves_many_tasks() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as conn:
        await conn.run_sync(build_tables(None).metadata.create_all)
    repository = SQLAlchemySessionRepository(engine)
    async with SessionManager(repository) as manager, asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(manager.register_agent("s", AgentId("writer", str(number))))
            group.create_task(repository.find_session("s"))
    assert await violations(repository) == []
    await repository.close()
    await engine.dispose()


async def test_a_hosts_engine_stays_as_it_was(database_url: str) -> None:
    own = SQLAlchemySessionRepository.from_url(database_url)
    engine = create_async_engine(own.engine.url)
    repository = SQLAlchemySessionRepository(engine)
    await SessionManager(repository).start_session("s")
    await repository.close()
    async with engine.connect() as conn:  # closing the repository did not dispose of it
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
        if engine.dialect.name == "postgresql":
            level = await conn.execute(text("SHOW transaction_isolation"))
            assert level.scalar_one() == "read committed"
    await engine.dispose()
    await own.close()


async def test_a_host_that_begins_serializable_still_gets_our_isolation(postgres_url: str) -> None:
    own = SQLAlchemySessionRepository.from_url(postgres_url)
    engine = create_async_engine(own.engine.url, isolation_level="SERIALIZABLE")
    repository = SQLAlchemySessionRepository(engine)
    managers = [SessionManager(repository) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for manager in managers:
            for number in range(10):
                group.create_task(manager.register_agent("s", AgentId("writer", str(number))))
    assert await violations(repository) == []
    async with engine.connect() as conn:
        level = await conn.execute(text("SHOW transaction_isolation"))
        assert level.scalar_one() == "serializable"
    for manager in managers:
        await manager.shutdown()
    await repository.close()
    await engine.dispose()
    await own.close()
