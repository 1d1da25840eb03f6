"""The ways to one database that a repository has in one process and one event loop."""

from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.database.asyncpg_calls import AsyncpgCalls
from session_router.database.connection_names import ConnectionNames
from session_router.database.connections import (
    PooledConnections,
    PostgresqlConnections,
    ReservedConnection,
)
from session_router.database.engine import create_engine
from session_router.database.pool import Pool, apart_from_pool
from session_router.database.schema import Tables
from session_router.database.transactions import Transactions
from session_router.errors import InvalidDatabaseUrlError
from session_router.repository.sql.batches.heartbeats import heartbeats
from session_router.repository.sql.batches.operations import BatchedOperations
from session_router.repository.sql.batches.postgresql import PostgresqlBatches
from session_router.repository.sql.batches.sqlite import SqliteBatches
from session_router.repository.sql.events import Events

_RESERVED_DEADLINE_SEC: Final = 3.0
"""Well below a lease, so that a connection that has gone silent costs no worker its row."""


class Access:
    """How to reach the database; nothing is opened yet.

    Args:
        engine: whose pool to use; it stays the caller's.
        tables: the tables of the schema that it is about.
        deadline_sec: how long an operation may take, in seconds.
        names: what connections are called that are not of the pool.
        listen_url: where to listen, where that is not the engine's own address.

    Attributes:
        transactions: for all that is not done in batches.
        batched: touch, start, register and finish, in batches, and the sweep.
        events: the trail, to read.
        heartbeats: renews leases, in batches.
        reserved: for what keeps a worker alive and stoppable.
        listening: an engine to listen with, for the doorbell; None where nothing rings.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        tables: Tables,
        deadline_sec: float,
        names: ConnectionNames,
        listen_url: str | URL | None = None,
    ) -> None:
        self._engine = engine
        self._pool: Pool | None = None
        self._reserved: ReservedConnection | None = None
        self._calls: AsyncpgCalls | None = None
        self.listening = _listening_engine(listen_url) if listen_url else None
        limit_sec = min(deadline_sec, _RESERVED_DEADLINE_SEC)
        if engine.dialect.name == "postgresql":
            self._pool = pool = Pool(engine)
            apart = apart_from_pool(engine)
            self.listening = self.listening or apart
            self.transactions = Transactions(PostgresqlConnections(pool), deadline_sec)
            self._reserved = ReservedConnection(apart, pool, lambda: names.of("heartbeat"))
            self.reserved = Transactions(self._reserved, limit_sec)
            self._calls = AsyncpgCalls(pool, deadline_sec)
            batches = PostgresqlBatches(self._calls, str(tables.sessions.schema))
            self.batched = BatchedOperations(
                batches, self.transactions, tables, deadline_sec, lanes=2
            )
        else:
            connections = PooledConnections(engine)
            # SQLite makes its connections at will, and has one writer at a time, for whom one
            # long queue is better than two.
            self.transactions = self.reserved = Transactions(connections, deadline_sec)
            on_sqlite = SqliteBatches(self.transactions, connections, tables)
            self.batched = BatchedOperations(
                on_sqlite, self.transactions, tables, deadline_sec, lanes=1
            )
        self.heartbeats = heartbeats(self.reserved, self.transactions, tables, limit_sec)
        self.events = Events(self.transactions, tables)

    async def close(self) -> None:
        """Wait for what was submitted, and let go of every connection but the engine's."""
        await self.batched.close()
        if self._calls is not None:
            await self._calls.close()
        await self.heartbeats.close()
        await self.reserved.close()
        await self.transactions.close()
        if self.listening is not None:
            await self.listening.dispose()

    def replace_connections(self) -> None:
        """Have what the pool holds replaced before it is used again, as by others of a new name."""
        if self._pool is not None:
            self._pool.flush()

    def abandon(self) -> object:
        """Leave behind, and return, connections that are another process's or loop's."""
        reserved = self._reserved.abandon() if self._reserved is not None else None
        spares = self._calls.abandon() if self._calls is not None else None
        pool = self._engine.sync_engine.pool
        self._engine.sync_engine.dispose(close=False)
        return pool, reserved, spares


def _listening_engine(url: str | URL) -> AsyncEngine:
    engine = create_engine(url)
    if engine.dialect.name != "postgresql":
        raise InvalidDatabaseUrlError(
            f"listen_url is for {engine.dialect.name}, where nobody listens; name the PostgreSQL "
            "server itself, or leave it out."
        )
    return engine
