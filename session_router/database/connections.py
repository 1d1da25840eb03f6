"""Where transactions get their connections: from the pool, or the one that is reserved."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Final, Protocol, cast

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from session_router.database.connection_names import call
from session_router.database.engine import (
    for_reading,
    sqlite_pragmas,
    with_our_transactions,
)
from session_router.database.faults import translated
from session_router.database.pool import Pool, driver_of, to_the_end
from session_router.database.sqlite_file import sqlite_file
from session_router.database.sqlite_lock import SqliteLock
from session_router.errors import DatabaseError

_LOCK_TIMEOUT: Final = "5ms"
"""How long a statement may wait for a lock with a connection in its hand; see `Transactions`."""

# One round trip. What a role or a database has set for itself must change nothing of ours.
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'; "
    "SET LOCAL search_path = pg_catalog, pg_temp"
)


class Connections(Protocol):
    """Connections on which a transaction has begun; it commits when the block ends well."""

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def single(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """For one statement, which needs no BEGIN and COMMIT around it on PostgreSQL."""

    async def close(self) -> None: ...


class PostgresqlConnections:
    """Connections from the pool; a statement that has to wait for a lock there fails at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._pool.connection() as conn, _transaction(conn):
            yield conn

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        # In READ COMMITTED each statement sees its own moment, in a transaction or not.
        async with self._pool.connection() as conn:
            yield conn

    single = reading

    async def close(self) -> None:
        """The pool is the engine's."""


class ReservedConnection:
    """One PostgreSQL connection that is not of the pool, opened at its first use and kept.

    A worker whose pool is used up by callers that wait must still renew its lease and see its
    signals. One that broke is replaced at the next use.

    Args:
        engine: see `apart_from_pool`.
        pool: the pool beside it, whose connections share its fate.
        name: gives what it is to be called.
    """

    def __init__(self, engine: AsyncEngine, pool: Pool, name: Callable[[], str]) -> None:
        self._pool = pool
        self._name = name
        self._called = ""
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._conn: AsyncConnection | None = None
        self._in_use = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self.reading() as conn, _transaction(conn):
            yield conn

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._in_use:
            try:
                conn = await self._opened()
                with self._pool.doubted_when_slow():
                    yield conn
            except BaseException as error:
                self._pool.flush_after(error)
                await to_the_end(self._drop())
                raise

    single = reading

    async def close(self) -> None:
        async with self._in_use:
            await self._drop()

    def abandon(self) -> object:
        """Leave the connection to the end of what refers to it, without a word; returns it."""
        conn, self._conn = self._conn, None
        sync = conn.sync_connection if conn is not None else None
        if sync is None or sync.closed or sync.invalidated:
            return None
        driver = sync.connection.driver_connection
        sync.detach()
        return driver

    async def _opened(self) -> AsyncConnection:
        with translated(nothing_written=True):
            if self._conn is not None and await _is_closed(self._conn):
                await self._drop()
            if self._conn is None:
                self._conn, self._called = await self._engine.connect(), ""
            if self._called != (name := self._name()):
                await call(driver_of(await self._conn.get_raw_connection()), name)
                self._called = name
            return self._conn

    async def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.invalidate()
            await conn.close()


class PooledConnections:
    """Connections from an engine's pool, each in a transaction of SQLAlchemy's.

    On SQLite, writers take turns.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._writing = with_our_transactions(engine)
        self._reading = for_reading(self._writing)
        self._write_lock: AbstractAsyncContextManager[None] = nullcontext()
        self._is_in_memory = False
        if engine.dialect.name == "sqlite":
            file = sqlite_file(engine.url)
            self._write_lock = SqliteLock(file)
            self._is_in_memory = file is None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._write_lock, AsyncExitStack() as stack:
            with translated(nothing_written=True):
                conn = await stack.enter_async_context(self._writing.connect())
                transaction = await conn.begin()
                yield conn  # what is not committed is rolled back when the connection is returned
            with translated():
                await transaction.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        # A database in memory is one connection, which all that use it take turns at.
        lock = self._write_lock if self._is_in_memory else nullcontext()
        with translated(nothing_written=True):
            async with lock, self._reading.begin() as conn:
                yield conn

    single = writing

    @asynccontextmanager
    async def sqlite_driver(self) -> AsyncIterator[aiosqlite.Connection]:
        """SQLite's driver itself, at its turn to write, with no transaction begun."""
        async with self._write_lock:
            held = await self._writing.raw_connection()
            driver = cast("aiosqlite.Connection", held.driver_connection)
            try:
                for pragma in sqlite_pragmas(held.info, reads=False):
                    await driver.execute_fetchall(pragma)
                yield driver
            finally:
                # In a greenlet: the pool waits for what is under way, and rolls back what is open.
                await asyncio.shield(greenlet_spawn(held.close))

    async def close(self) -> None:
        """The pool is the engine's."""


@asynccontextmanager
async def _transaction(conn: AsyncConnection) -> AsyncIterator[None]:
    """A transaction on a connection in autocommit mode; whose connection it is rolls it back."""
    driver = driver_of(await conn.get_raw_connection())
    with translated(nothing_written=True):
        await driver.execute(_BEGIN)
        yield
    with translated():
        if await driver.execute("COMMIT") != "COMMIT":
            raise DatabaseError(
                "the database rolled back a transaction that was to be committed, since a "
                "statement of it had failed; nothing was written."
            )


async def _is_closed(conn: AsyncConnection) -> bool:
    return driver_of(await conn.get_raw_connection()).is_closed()
