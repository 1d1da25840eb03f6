"""Where transactions get their connections: from the pool, or the one that is reserved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol, cast

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from session_router.database.engine import (
    for_reading,
    sqlite_file,
    sqlite_pragmas,
    with_our_transactions,
)
from session_router.database.write_turns import WriteTurns


class Connections(Protocol):
    """Connections on which a transaction has begun; it commits when the block ends well."""

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]: ...

    def single(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """For one statement, which needs no BEGIN and COMMIT around it on PostgreSQL."""

    async def close(self) -> None: ...


class PooledConnections:
    """Connections from an engine's pool; on SQLite, writers take turns."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._writing = with_our_transactions(engine)
        self._reading = for_reading(self._writing)
        self._turns: AbstractAsyncContextManager[None] = nullcontext()
        self._is_in_memory = False
        if engine.dialect.name == "sqlite":
            file = sqlite_file(engine.url)
            self._turns = WriteTurns(file)
            self._is_in_memory = file is None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._turns, self._writing.begin() as conn:
            yield conn

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        # A database in memory is one connection, which all that use it take turns at.
        turns = self._turns if self._is_in_memory else nullcontext()
        async with turns, self._reading.begin() as conn:
            yield conn

    single = writing

    @asynccontextmanager
    async def sqlite_driver(self) -> AsyncIterator[aiosqlite.Connection]:
        """SQLite's driver itself, at its turn to write, with no transaction begun."""
        async with self._turns:
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


class ReservedConnection:
    """One PostgreSQL connection, taken from the pool at its first use and kept.

    A worker whose pool is used up by callers that wait must still renew its lease and see its
    signals. One that broke is replaced at the next use.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._conn: AsyncConnection | None = None
        self._in_use = asyncio.Lock()

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._begun("READ COMMITTED")

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._begun("AUTOCOMMIT")

    single = reading

    async def close(self) -> None:
        async with self._in_use:
            await self._drop()

    @asynccontextmanager
    async def _begun(self, isolation_level: str) -> AsyncIterator[AsyncConnection]:
        async with self._in_use:
            try:
                if self._conn is None:
                    self._conn = await self._engine.connect()
                await self._conn.execution_options(isolation_level=isolation_level)
                async with self._conn.begin():
                    yield self._conn
            except BaseException:
                await self._drop()
                raise

    async def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
