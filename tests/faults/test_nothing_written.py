"""What an error says of a change: that nothing was written, wherever that is certain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from session_router import DatabaseUnavailableError, DeadlineExceededError, SessionRouterError
from session_router.database.asyncpg_calls import AsyncpgCalls
from session_router.database.connections import PooledConnections, PostgresqlConnections
from session_router.database.faults import translated
from session_router.database.pool import Pool
from session_router.database.transactions import Transactions
from tests.support.by_hand import execute
from tests.support.waiting import eventually

CUT_OFF = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)"
# As one that has no place on its disk does.
REFUSE = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
SLOW_COMMIT = """
    CREATE TABLE slow (i int);
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
"""
INSERT = "INSERT INTO public.slow VALUES (1)"


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(postgres_url)
    yield engine
    await engine.dispose()


def saying(statement: str) -> Callable[[AsyncConnection], Awaitable[None]]:
    async def say(conn: AsyncConnection) -> None:
        await conn.execute(text(statement))

    return say


async def cut_off_while_committing(url: str) -> None:
    """Terminate the connection that is in the middle of a COMMIT."""
    conn = await asyncpg.connect(url.replace("+asyncpg", ""))

    async def is_cut_off() -> bool:
        return bool(
            await conn.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' "
                "AND state = 'active' AND wait_event = 'PgSleep' AND datname = current_database()"
            )
        )

    await eventually(is_cut_off, within=60)
    await conn.close()


@pytest.mark.parametrize("statement", [CUT_OFF, REFUSE])
async def test_a_transaction_that_fails_before_its_commit_has_written_nothing(
    engine: AsyncEngine, statement: str
) -> None:
    pool, pooled = Transactions(PostgresqlConnections(Pool(engine)), 60), PooledConnections(engine)
    with pytest.raises(DatabaseUnavailableError, match="nothing was written") as caught:
        await pool.write(saying(statement))
    assert caught.value.nothing_written
    with pytest.raises(DatabaseUnavailableError, match="nothing was written") as caught:
        async with pooled.writing() as conn:  # as hooks and keys are written
            await conn.execute(text(statement))
    assert caught.value.nothing_written


async def test_a_transaction_that_is_cut_off_while_it_commits_may_have_happened(
    engine: AsyncEngine, postgres_url: str
) -> None:
    await execute(postgres_url, SLOW_COMMIT, "SELECT 1")
    pool = Transactions(PostgresqlConnections(Pool(engine)), 60)
    writing = asyncio.create_task(pool.write(saying(INSERT)))
    await cut_off_while_committing(postgres_url)
    with pytest.raises(DatabaseUnavailableError, match="may or may not have happened") as caught:
        await writing
    assert not caught.value.nothing_written


async def test_what_only_reads_has_written_nothing_however_it_fails(engine: AsyncEngine) -> None:
    for deadline_sec, statement in ((60.0, CUT_OFF), (0.5, "SELECT pg_sleep(60)")):
        pool = Transactions(PostgresqlConnections(Pool(engine)), deadline_sec)
        with pytest.raises(SessionRouterError, match="nothing was written") as caught:
            await pool.read(saying(statement))
        assert getattr(caught.value, "nothing_written")  # noqa: B009 - of two classes


async def test_a_transaction_that_is_given_up_before_its_commit_has_written_nothing(
    engine: AsyncEngine,
) -> None:
    pool = Transactions(PostgresqlConnections(Pool(engine)), 0.5)
    with pytest.raises(DeadlineExceededError, match="nothing was written") as caught:
        await pool.write(saying("SELECT pg_sleep(60)"))
    assert caught.value.nothing_written


async def test_of_a_statement_that_commits_by_itself_only_a_refusal_is_certain(
    engine: AsyncEngine,
) -> None:
    calls = AsyncpgCalls(Pool(engine), 60)
    with pytest.raises(DatabaseUnavailableError, match="nothing was written") as caught:
        await calls.fetch(REFUSE)
    assert caught.value.nothing_written
    with pytest.raises(DatabaseUnavailableError, match="may or may not have happened") as caught:
        await calls.fetch(CUT_OFF)
    assert not caught.value.nothing_written
    await calls.close()


async def test_a_server_that_does_not_let_us_in_has_been_told_nothing(postgres_url: str) -> None:
    await execute(postgres_url, "CREATE ROLE turned_away LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    try:
        theirs = make_url(postgres_url).set(username="turned_away", password="x")
        engine = create_async_engine(theirs)
        with pytest.raises(DatabaseUnavailableError, match="nothing was written"), translated():
            await engine.connect()
        await engine.dispose()
    finally:
        await execute(postgres_url, "DROP ROLE turned_away")
