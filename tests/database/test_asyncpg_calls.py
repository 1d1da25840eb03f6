"""Hot statements on the engine's pool: every connection goes back, whatever comes of it."""

import asyncio
import logging
from typing import cast

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

from session_router import (
    DatabaseError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    SQLAlchemySessionRepository,
)
from session_router.database.asyncpg_calls import AsyncpgCalls
from session_router.database.pool import Pool
from session_router.repository.changes import Start, Touch
from session_router.repository.records import Requester
from tests.support.waiting import eventually


async def test_a_small_pool_takes_back_what_it_keeps_and_closes_the_rest(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=7)
    repository = SQLAlchemySessionRepository(engine)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            starts = (repository.start_session(Start(f"s{n}", Requester())) for n in range(50))
            touches = (repository.touch_session(Touch(f"s{n}")) for n in range(50))
            await asyncio.gather(*starts, *touches)
    assert caplog.records == []

    async def is_one_left() -> bool:
        ours = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return bool(await looker.fetchval(ours) == 1)

    plain = make_url(postgres_url).set(drivername="postgresql")
    looker = await asyncpg.connect(plain.render_as_string(hide_password=False))
    await eventually(is_one_left)
    await looker.close()
    await repository.close()
    await engine.dispose()


async def test_a_statement_that_is_refused_costs_no_connection(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=5)
    calls = AsyncpgCalls(Pool(engine), deadline_sec=10)
    for _ in range(3):
        with pytest.raises(DatabaseError, match="division by zero"):
            await calls.fetch("SELECT 1 / $1::int", 0)
    assert [tuple(row) for row in await calls.fetch("SELECT $1::int", 7)] == [(7,)]
    await calls.close()
    await engine.dispose()


async def test_a_connection_that_the_server_closed_is_replaced_unseen(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=5)
    calls = AsyncpgCalls(Pool(engine), deadline_sec=10)
    with pytest.raises(DatabaseUnavailableError):
        await calls.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert len(await calls.fetch("SELECT 1")) == 1
    await calls.close()
    await engine.dispose()


async def test_a_connection_is_used_again_and_given_back_when_nobody_needs_it(
    postgres_url: str,
) -> None:
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0)
    pool = cast("QueuePool", engine.pool)
    calls = AsyncpgCalls(Pool(engine), deadline_sec=10)
    await calls.fetch("SELECT 1")
    assert pool.checkedout() == 1
    await eventually(lambda: pool.checkedout() == 0)
    await calls.fetch("SELECT 1")
    await calls.close()
    assert pool.checkedout() == 0
    await engine.dispose()


async def test_others_get_a_connection_of_a_pool_that_is_always_in_use(postgres_url: str) -> None:
    """They wait for a turn of it, not until there is no work left."""
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=30)
    calls = AsyncpgCalls(Pool(engine), deadline_sec=10)
    may_end = asyncio.Event()

    async def call_again_and_again() -> None:
        while not may_end.is_set():
            await calls.fetch("SELECT 1")

    caller = asyncio.create_task(call_again_and_again())
    for _ in range(3):
        async with engine.connect() as conn:
            await conn.execute(text("SELECT 1"))
    assert not caller.done()
    may_end.set()
    await caller
    await calls.close()
    await engine.dispose()


async def test_a_statement_that_takes_too_long_costs_its_connection_and_no_lock(
    postgres_url: str,
) -> None:
    engine = create_async_engine(postgres_url, pool_size=1, max_overflow=0)
    calls = AsyncpgCalls(Pool(engine), deadline_sec=0.5)
    await calls.fetch("SELECT 1")
    with pytest.raises(DeadlineExceededError, match="unknown") as caught:
        await calls.fetch("SELECT pg_advisory_lock(7), pg_sleep(60)")
    assert not caught.value.nothing_written

    async def is_free() -> bool:
        [[free]] = await calls.fetch("SELECT pg_try_advisory_xact_lock(7)")
        return bool(free)

    await eventually(is_free)
    await calls.close()
    await engine.dispose()
