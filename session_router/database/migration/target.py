"""The database that is migrated."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.connection_names import ConnectionNames
from session_router.database.engine import (
    create_engine,
    for_reading,
    with_our_transactions,
)
from session_router.database.faults import translated
from session_router.database.sqlite_file import sqlite_file
from session_router.database.sqlite_lock import SqliteLock
from session_router.database.url import parse_url
from session_router.schema_name import check_schema
from session_router.settings import DEFAULT_SCHEMA

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The database to migrate.

    Attributes:
        url: as `SQLAlchemySessionRepository.from_url` takes it.
        schema: the PostgreSQL schema that holds, or is to hold, the tables.

    Raises:
        InvalidSettingError: the schema cannot be called so.
    """

    url: str
    schema: str = DEFAULT_SCHEMA

    def __post_init__(self) -> None:
        check_schema(self.schema)

    @property
    def is_sqlite(self) -> bool:
        return parse_url(self.url).get_backend_name() == "sqlite"

    @property
    def schema_name(self) -> str | None:
        """The schema, or None where the database has no schemas."""
        return None if self.is_sqlite else self.schema

    @property
    def missing_file(self) -> Path | None:
        """The SQLite file that is named, if it does not exist."""
        path = sqlite_file(parse_url(self.url))
        return path if path is not None and not path.exists() else None

    @asynccontextmanager
    async def connected(self, *, writes: bool) -> AsyncIterator[AsyncConnection]:
        """A connection of its own.

        Args:
            writes: whether it writes; on SQLite it then does so while nobody else does, and
                creates a missing file.

        Raises:
            DatabaseError: the database failed what was done within.
        """
        names = ConnectionNames("migrate" if writes else "check")
        engine = create_engine(self.url, may_create=writes, names=names)
        try:
            with translated(nothing_written=not writes):
                async with AsyncExitStack() as stack:
                    ours = with_our_transactions(engine)
                    if self.is_sqlite and writes:
                        await stack.enter_async_context(SqliteLock(sqlite_file(engine.url)))
                    if not writes:
                        ours = for_reading(ours)
                    yield await stack.enter_async_context(ours.connect())
        finally:
            await engine.dispose()

    async def run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Run `work` on such a connection."""
        async with self.connected(writes=writes) as conn:
            return await conn.run_sync(work)
