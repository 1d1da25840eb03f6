"""Where a stream's span is known to other processes: beside the stream's row, while it lives."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.database.connections import PooledConnections
from session_router.database.engine import supported
from session_router.database.faults import translated
from session_router.database.schema import build_tables
from session_router.settings import DEFAULT_SCHEMA


class TraceParents:
    """The contexts of streams' spans, as W3C's `traceparent`.

    Args:
        engine: an async engine on asyncpg or aiosqlite; it stays the caller's to dispose of.
        schema: the PostgreSQL schema that holds the tables; SQLite has none.

    Raises:
        InvalidSettingError: the schema cannot be called so.
        InvalidDatabaseUrlError: the engine is of another kind.
    """

    def __init__(self, engine: AsyncEngine, *, schema: str = DEFAULT_SCHEMA) -> None:
        is_postgresql = supported(engine).dialect.name == "postgresql"
        self._streams = build_tables(schema if is_postgresql else None).agent_streams
        self._connections = PooledConnections(engine)

    async def note(self, session_id: str, stream_id: UUID, traceparent: str) -> None:
        """Note a live stream's; nothing where it lives no more."""
        streams = self._streams
        with translated():
            async with self._connections.writing() as conn:
                await conn.execute(
                    update(streams)
                    .where(streams.c.session_id == session_id, streams.c.stream_id == stream_id)
                    .values(traceparent=traceparent)
                )

    async def of_session(self, session_id: str) -> Mapping[UUID, str]:
        """Those that were noted of a session's live streams."""
        streams = self._streams.c
        with translated():
            async with self._connections.reading() as conn:
                found = await conn.execute(
                    select(streams.stream_id, streams.traceparent).where(
                        streams.session_id == session_id, streams.traceparent.is_not(None)
                    )
                )
                return {row.stream_id: row.traceparent for row in found}
