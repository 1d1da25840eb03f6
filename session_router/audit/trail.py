"""The trail, opened for an audit: consistent reads, changes in turn, and its closed part."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    func,
    literal,
    select,
    text,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router.database.connection_names import ConnectionNames
from session_router.database.connections import PooledConnections
from session_router.database.engine import create_engine, name_of, supported
from session_router.database.faults import translated
from session_router.database.schema import Tables, build_tables
from session_router.database.trail_writers import TRAIL_WRITERS
from session_router.database.types import clock
from session_router.errors import DatabaseError, DatabaseUnavailableError
from session_router.outages import Outage, outage_of
from session_router.schema_name import check_schema
from session_router.settings import DEFAULT_SCHEMA

PAGE: Final = 20_000
"""How many events are held in memory at a time."""

READ: Final = 2_000
"""How many are read at a time: while they are taken in, nothing else goes on in the event loop."""

Progress = Callable[[str, float], None]
"""Is told what is being done, and how much of it is done, from 0 to 1."""

BEFORE_ALL: Final = -(2**63)
"""Below every number that an event can have, those that were given by hand included."""

_LARGEST: Final = 2**63 - 1

_PATIENCE_SEC: Final = 10.0
_POLL_SEC: Final = 0.02


def silent(_: str, __: float) -> None:
    """Progress that nobody is told of."""


class Trail:
    """The audit trail of one database.

    Args:
        engine: an async engine on asyncpg or aiosqlite; it stays the caller's to dispose of.
        schema: the PostgreSQL schema that holds the tables; SQLite has none.

    Raises:
        InvalidSettingError: the schema cannot be called so.
        InvalidDatabaseUrlError: the engine is of another kind.
    """

    def __init__(self, engine: AsyncEngine, *, schema: str = DEFAULT_SCHEMA) -> None:
        check_schema(schema)
        self._engine = supported(engine)
        self.is_postgresql = engine.dialect.name == "postgresql"
        self.tables: Tables = build_tables(schema if self.is_postgresql else None)
        self._connections = PooledConnections(engine)

    @property
    def outage(self) -> Outage:
        """Of the database."""
        return outage_of(name_of(self._engine))

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, *, schema: str = DEFAULT_SCHEMA) -> "AsyncIterator[Trail]":
        """A trail with an engine of its own, for the length of the block."""
        engine = create_engine(url, names=ConnectionNames("audit"))
        try:
            yield cls(engine, schema=schema)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that may last: on PostgreSQL it keeps no old rows from the vacuum."""
        with translated():
            async with self._connections.reading() as conn:
                yield conn

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """One transaction whose statements all see the same moment."""
        with translated(nothing_written=True):
            if not self.is_postgresql:
                async with self._connections.reading() as conn:
                    yield conn
                return
            engine = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            async with engine.begin() as conn:
                yield conn

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that seals, prunes or erases, while no other does."""
        with translated():
            async with self._connections.writing() as conn:
                if self.is_postgresql:
                    name = {"name": f"{self.tables.session_events.fullname} audit"}
                    lock = "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"
                    await conn.execute(text(lock), name)
                yield conn

    async def pages(
        self,
        conn: AsyncConnection,
        *conditions: ColumnElement[bool],
        after: int = BEFORE_ALL,
        until: int,
        columns: Sequence[ColumnElement[Any]] = (),
    ) -> AsyncIterator[Sequence[Row[Any]]]:
        """The events behind `after`, up to `until`, a page at a time.

        Args:
            columns: the number of the event and what else is read of each; left out, all.
        """
        statement = select(*(columns or self.tables.session_events.c)).where(*conditions)
        page: list[Row[Any]] = []
        while after < until:
            limit = min(READ, PAGE - len(page))
            some = await self._read(conn, statement, after=after, until=until, limit=limit)
            page += some
            after = some[-1].event_id if len(some) == limit else until
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    async def _read(
        self,
        conn: AsyncConnection,
        statement: Select[Any],
        *,
        after: int,
        until: int,
        limit: int,
    ) -> Sequence[Row[Any]]:
        event_id = self.tables.session_events.c.event_id
        page = statement.where(event_id > after, event_id <= until).order_by(event_id).limit(limit)
        try:
            found: Sequence[Row[Any]] = (await conn.execute(page)).all()
        except ValueError as error:  # SQLite keeps any text where a UUID or a time belongs
            raise DatabaseError(f"the events behind {after} cannot be read: {error}.") from error
        return found

    async def now(self) -> datetime:
        """The database's time. Raises `DatabaseError`."""
        async with self.reading() as conn:
            return (await conn.execute(select(clock()))).scalar_one()

    async def newest(self, conn: AsyncConnection) -> int:
        """The number of the newest event; 0 where there is none.

        One whose number somebody chose, above all that were given out, is none: what is numbered
        later would come before it.
        """
        event_id = self.tables.session_events.c.event_id
        newest = select(func.max(event_id)).where(event_id <= self._last_number())
        return (await conn.execute(newest)).scalar_one() or 0

    async def last_number(self, conn: AsyncConnection) -> int:
        """The newest number that was given out to an event."""
        return int((await conn.execute(select(self._last_number()))).scalar_one())

    def _last_number(self) -> ColumnElement[int]:
        if not self.is_postgresql:  # SQLite goes on counting from whatever number it meets
            return literal(_LARGEST)
        schema = getattr(func, str(self.tables.session_events.schema))
        return type_coerce(schema.last_event_number(), BigInteger())

    async def closed_until(self) -> int:
        """The newest event before which none can still appear.

        Numbers are drawn in another order than transactions commit in, so an event may appear
        behind one that was read already. Who inserts into the trail holds ROW EXCLUSIVE on it
        from before a number is drawn until its transaction ends. So whoever could still add an
        event before the newest one of now is among those who hold that lock now; once these have
        ended, all is closed up to there. Nobody has to wait for us.

        What does not suffice is to compare the rows' xmin with the oldest running transaction: a
        transaction has its number before it draws one for its event, so that an older
        transaction's event may well come after one that a younger transaction still holds back.

        SQLite numbers events while nobody else writes: all that is there is closed.

        Raises:
            DatabaseUnavailableError: such a transaction did not end in time.
            DatabaseError: the server is a standby.
        """
        async with self.reading() as conn:
            newest = await self.newest(conn)
            if self.is_postgresql:
                await self._refuse_a_standby(conn)
                await self._wait_for_writers(conn)
        return newest

    async def _refuse_a_standby(self, conn: AsyncConnection) -> None:
        """A standby does not know who writes on the primary."""
        if (await conn.execute(select(func.pg_is_in_recovery()))).scalar_one():
            raise DatabaseError(
                "this server is a standby, which cannot tell which events may still appear; ask "
                "the primary."
            )

    async def _wait_for_writers(self, conn: AsyncConnection) -> None:
        waited_for = await self._writers(conn)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_SEC
        while waited_for:
            if loop.time() > deadline:
                raise DatabaseUnavailableError(
                    f"a transaction of server process {min(waited_for.values())} has "
                    f"been writing to the trail for more than {_PATIENCE_SEC:g} s, so it is not "
                    "known which events may still appear. Let it end, then try again.",
                    nothing_written=True,
                )
            await asyncio.sleep(_POLL_SEC)
            still = await self._writers(conn)
            waited_for = {name: pid for name, pid in waited_for.items() if name in still}

    async def _writers(self, conn: AsyncConnection) -> dict[str, int]:
        trail = {"trail": self.tables.session_events.fullname}
        found = await conn.execute(text(TRAIL_WRITERS), trail)
        return {row.virtualtransaction: row.pid for row in found}
