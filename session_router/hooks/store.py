"""The hooks of one database, and what each of them is owed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router.database.connection_names import ConnectionNames
from session_router.database.connections import PooledConnections
from session_router.database.engine import create_engine, supported
from session_router.database.faults import translated
from session_router.database.schema import build_tables
from session_router.database.types import one_of
from session_router.events import SessionEvent
from session_router.hooks.hook import DeadDelivery, Delivery, Hook, NewHook, read_back, stored
from session_router.hooks.queries import dead, first_due, hooks_due
from session_router.repository.sql import rows
from session_router.settings import DEFAULT_SCHEMA

CLAIMED_FOR: Final = timedelta(seconds=60)
"""What was not told of by then has failed with whoever was delivering it, and is tried again."""


class HookStore:
    """The hooks of one database.

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
    async def opened(cls, url: str, *, schema: str = DEFAULT_SCHEMA) -> "AsyncIterator[HookStore]":
        """Hooks with an engine of their own, for the length of the block."""
        engine = create_engine(url, names=ConnectionNames("hooks"))
        try:
            yield cls(engine, schema=schema)
        finally:
            await engine.dispose()

    async def put(self, hook: NewHook) -> Hook:
        """Store a hook; one of this id is told of other events from now on."""
        hooks = self._t.hooks
        columns = {
            "url": hook.url,
            "secret": hook.secret,
            "events": stored(hook.events),
            "owner": hook.owner,
            "allows_private": hook.allows_private,
        }
        async with self._writing() as conn:
            is_this = hooks.c.hook_id == hook.hook_id
            known = update(hooks).where(is_this).values(columns).returning(hooks)
            if (row := (await conn.execute(known)).one_or_none()) is None:
                new = {"hook_id": hook.hook_id, "created_at": await rows.now(conn), **columns}
                row = (await conn.execute(insert(hooks).values(new).returning(hooks))).one()
            return _hook(row)

    async def remove(self, hook_id: str) -> bool:
        """Remove a hook, with what it is owed; whether there was one."""
        t = self._t
        async with self._writing() as conn:
            gone = delete(t.hooks).where(t.hooks.c.hook_id == hook_id).returning(literal(1))
            was_there = bool((await conn.execute(gone)).all())
            owed = t.hook_deliveries
            await conn.execute(delete(owed).where(owed.c.hook_id == hook_id))
            return was_there

    async def all(self) -> list[Hook]:
        """All hooks, the oldest first."""
        hooks = self._t.hooks
        found = await self._read(select(hooks).order_by(hooks.c.created_at, hooks.c.hook_id))
        return [_hook(row) for row in found]

    async def due(self, callbacks: Sequence[str], *, urls: bool) -> list[Hook]:
        """The hooks for which something is due.

        Args:
            callbacks: the names of those that this program carries out.
            urls: whether it sends requests, too.
        """
        async with self._reading() as conn:
            statement = hooks_due(self._t, await rows.now(conn), callbacks, urls=urls)
            return [_hook(row) for row in (await conn.execute(statement)).all()]

    async def claim(self, hook: Hook, limit: int) -> list[Delivery]:
        """Take what is due of a hook, one event a session at the most: for `CLAIMED_FOR`."""
        t, owed = self._t, self._t.hook_deliveries
        async with self._writing() as conn:
            now = await rows.now(conn)
            picked = first_due(t, hook.hook_id, now, limit).with_for_update(
                skip_locked=True, of=owed
            )
            ids = (await conn.execute(picked)).scalars().all()
            if not ids:
                return []
            await conn.execute(
                update(owed)
                .where(one_of(owed.c.delivery_id, ids))
                .values(due_at=now + CLAIMED_FOR, attempts=owed.c.attempts + 1)
            )
            found = await conn.execute(
                select(owed.c.delivery_id, owed.c.attempts, t.session_events)
                .outerjoin(t.session_events, t.session_events.c.event_id == owed.c.event_id)
                .where(one_of(owed.c.delivery_id, ids))
                .order_by(owed.c.delivery_id)
            )
            return rows.readable(found, lambda row: _delivery(hook, row))

    async def delivered(self, delivery: Delivery) -> None:
        """Record that it was told."""
        owed = self._t.hook_deliveries
        async with self._writing() as conn:
            await conn.execute(delete(owed).where(*self._is_ours(delivery)))

    async def failed(self, delivery: Delivery, error: str | None, pause: timedelta | None) -> None:
        """Record that it was not told, and when to try again.

        Args:
            pause: until then; None: it is given up.
        """
        async with self._writing() as conn:
            now = await rows.now(conn)
            fate = {"dead_at": now} if pause is None else {"due_at": now + pause}
            await conn.execute(
                update(self._t.hook_deliveries)
                .where(*self._is_ours(delivery))
                .values(last_error=error, **fate)
            )

    async def dead(self, *, after: int = 0, limit: int = 100) -> list[DeadDelivery]:
        """What was given up, the oldest first, from behind a delivery's id."""
        found = await self._read(dead(self._t, after, limit))
        return [DeadDelivery(**row._mapping) for row in found]

    async def send_again(self, delivery_ids: Sequence[int] | None = None) -> int:
        """Owe again what was given up, with as many attempts as at first; returns how many.

        Args:
            delivery_ids: these; None: all.
        """
        owed = self._t.hook_deliveries
        async with self._writing() as conn:
            named = [] if delivery_ids is None else [one_of(owed.c.delivery_id, delivery_ids)]
            revived = (
                update(owed)
                .where(owed.c.dead_at.is_not(None), *named)
                .values(dead_at=None, attempts=0, due_at=await rows.now(conn))
                .returning(literal(1))
            )
            return len((await conn.execute(revived)).all())

    async def owed(self) -> int:
        """How many deliveries are under way or ahead."""
        count = select(func.count()).where(self._t.hook_deliveries.c.dead_at.is_(None))
        [row] = await self._read(count.select_from(self._t.hook_deliveries))
        return int(row[0])

    def _is_ours(self, delivery: Delivery) -> list[ColumnElement[bool]]:
        """Unless somebody else has claimed it meanwhile."""
        owed = self._t.hook_deliveries.c
        return [owed.delivery_id == delivery.delivery_id, owed.attempts == delivery.attempts]

    async def _read(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        async with self._reading() as conn:
            found: Sequence[Row[Any]] = (await conn.execute(statement)).all()
            return found

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with self._connections.writing() as conn:
                yield conn

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with self._connections.reading() as conn:
                yield conn


def _hook(row: Row[Any]) -> Hook:
    return Hook(**{**row._mapping, "events": read_back(row.events)})


def _delivery(hook: Hook, row: Row[Any]) -> Delivery:
    event = None if row.event_id is None else SessionEvent(**row._mapping)
    return Delivery(row.delivery_id, hook, row.attempts, event)
