"""The keys of one database: made, looked up, revoked; each change leaves its record."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.access.keys import ApiKey, NewKey, scopes_of, told
from session_router.database.connection_names import ConnectionNames
from session_router.database.connections import PooledConnections
from session_router.database.engine import create_engine, supported
from session_router.database.faults import translated
from session_router.database.schema import build_tables
from session_router.events import KeyEvent
from session_router.repository.sql import rows
from session_router.settings import DEFAULT_SCHEMA


class Keys:
    """The keys of one database.

    Args:
        engine: an async engine on asyncpg or aiosqlite; it stays the caller's to dispose of.
        schema: the PostgreSQL schema that holds the tables; SQLite has none.

    Raises:
        InvalidSettingError: the schema cannot be called so.
        InvalidDatabaseUrlError: the engine is of another kind.
    """

    def __init__(self, engine: AsyncEngine, *, schema: str = DEFAULT_SCHEMA) -> None:
        is_postgresql = supported(engine).dialect.name == "postgresql"
        self._t = build_tables(schema if is_postgresql else None)
        self._connections = PooledConnections(engine)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, *, schema: str = DEFAULT_SCHEMA) -> "AsyncIterator[Keys]":
        """Keys with an engine of their own, for the length of the block."""
        engine = create_engine(url, names=ConnectionNames("keys"))
        try:
            yield cls(engine, schema=schema)
        finally:
            await engine.dispose()

    async def add(self, key: NewKey, expires_in: timedelta | None, actor: str | None) -> ApiKey:
        """Store a new key.

        Raises:
            DatabaseError: the database failed it; nothing was written.
        """
        with translated():
            async with self._connections.writing() as conn:
                now = await rows.now(conn)
                columns = {
                    "key_id": key.key_id,
                    "name": key.name,
                    "secret_hash": key.secret_hash,
                    "scopes": told(key.scopes),
                    "owner": key.owner,
                    "expires_at": None if expires_in is None else now + expires_in,
                }
                await conn.execute(insert(self._t.api_keys).values(created_at=now, **columns))
                event = {"occurred_at": now, "event": KeyEvent.CREATED, "actor": actor}
                await conn.execute(insert(self._t.key_events).values(**event, **columns))
                found = select(self._t.api_keys).where(self._t.api_keys.c.key_id == key.key_id)
                return _key((await conn.execute(found)).one())

    async def revoke(self, key_id: str, actor: str | None) -> ApiKey | None:
        """Refuse a key from now on; None where there is none. Once more changes nothing."""
        keys = self._t.api_keys.c
        with translated():
            async with self._connections.writing() as conn:
                found = select(self._t.api_keys).where(keys.key_id == key_id).with_for_update()
                if (row := (await conn.execute(found)).one_or_none()) is None:
                    return None
                if row.revoked_at is not None:
                    return _key(row)
                now = await rows.now(conn)
                await conn.execute(
                    update(self._t.api_keys).where(keys.key_id == key_id).values(revoked_at=now)
                )
                columns = ("key_id", "name", "secret_hash", "scopes", "owner", "expires_at")
                event = {"occurred_at": now, "event": KeyEvent.REVOKED, "actor": actor}
                same = {name: getattr(row, name) for name in columns}
                await conn.execute(insert(self._t.key_events).values(**event, **same))
                return _key(row, revoked_at=now)

    async def all(self) -> list[ApiKey]:
        """All that ever were, the oldest first."""
        keys = self._t.api_keys
        return await self._read(select(keys).order_by(keys.c.created_at, keys.c.key_id))

    async def find(self, key_id: str) -> tuple[ApiKey | None, datetime]:
        """A key, and the database's present time."""
        keys = self._t.api_keys
        with translated():
            async with self._connections.reading() as conn:
                row = (
                    await conn.execute(select(keys).where(keys.c.key_id == key_id))
                ).one_or_none()
                return None if row is None else _key(row), await rows.now(conn)

    async def are_there(self) -> bool:
        """Whether there is any key, revoked ones included: then nobody is let in without one."""
        return bool(await self._read(select(self._t.api_keys).limit(1)))

    async def _read(self, statement: Any) -> list[ApiKey]:
        with translated():
            async with self._connections.reading() as conn:
                return [_key(row) for row in await conn.execute(statement)]


def _key(row: Row[Any], **changed: Any) -> ApiKey:
    return ApiKey(**{**row._mapping, "scopes": scopes_of(row.scopes.split()), **changed})
