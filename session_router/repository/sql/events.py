"""The trail, page by page: whole as it is now, or only what is closed, for those who tail it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.trail_writers import TRAIL_WRITERS
from session_router.database.transactions import Transactions
from session_router.errors import DatabaseUnavailableError
from session_router.events import SessionEvent
from session_router.repository.sql import rows

_PATIENCE_SEC: Final = 1.0
_FIRST_PAUSE_SEC: Final = 0.002
_LONGEST_PAUSE_SEC: Final = 0.1
_NEAR: Final = 1_000
"""How many events behind a position are looked at for one that is missing."""

# The newest event first, then who may be adding: see `_Look`. A standby does not know of its
# primary's locks. What it knows is which transactions have not ended, and since each of ours has
# its id before it numbers an event, whoever could add one is among these.
_LOOK: Final = f"""
    SELECT
        coalesce((SELECT max(event_id) FROM {{events}}), 0) AS newest,
        pg_is_in_recovery() AS is_standby,
        pg_snapshot_xmin(pg_current_snapshot())::text AS oldest,
        pg_snapshot_xmax(pg_current_snapshot())::text AS next,
        ARRAY(SELECT w.virtualtransaction || ' ' || w.pid FROM ({TRAIL_WRITERS}) w) AS writers
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class _Look:
    """The newest event, and who could still add one before it.

    Numbers are drawn in another order than transactions commit in. Who adds an event holds a lock
    on the trail from before it draws the number until it has ended. So when those have ended who
    held it just after the newest event was looked up, all is closed up to that event.
    """

    newest: int
    is_standby: bool
    oldest: int
    next: int
    writers: frozenset[str]

    def is_over_in(self, later: "_Look") -> bool:
        """Whether all have ended who could add an event before this newest one."""
        if self.is_standby:
            return later.oldest >= self.next
        return not self.writers & later.writers

    def who(self) -> str:
        pids = sorted({writer.split()[1] for writer in self.writers})
        return f"of server process {', '.join(pids)}" if pids else "on the primary"


@dataclass(frozen=True, slots=True)
class Page:
    """Which events are asked for: of a session id, of an owner's lives, from behind `after`."""

    session_id: str | None
    owner: str | None
    after: int
    limit: int

    def statement(self, t: Tables) -> Select[Any]:
        events = t.session_events
        statement = (
            select(events)
            .where(events.c.event_id > self.after, *lives_of(t, events.c.session_uid, self.owner))
            .order_by(events.c.event_id)
            .limit(self.limit)
        )
        if self.session_id is not None:
            statement = statement.where(events.c.session_id == self.session_id)
        return statement


def lives_of(
    t: Tables, session_uid: ColumnElement[UUID], owner: str | None
) -> Iterator[ColumnElement[bool]]:
    """Whether a life was the owner's, which the event of its start tells; always, for none."""
    if owner is not None:
        started = t.session_events.alias("started").c
        # Named in the statement's text, by which the index of owned sessions is found.
        is_start = text("started.event = 'session_started' AND started.detail IS NOT NULL")
        yield exists(started.event_id).where(
            started.session_uid == session_uid, started.detail == owner, is_start
        )


class Events:
    """Reads events; on SQLite, which numbers them while nobody else writes, all are closed."""

    def __init__(self, transactions: Transactions, tables: Tables) -> None:
        self._transactions = transactions
        self._t = tables

    async def page(self, asked: Page, *, tailing: bool) -> list[SessionEvent]:
        """See `SessionRepository.list_events`."""
        if not tailing or self._t.session_events.schema is None:
            return await self._page(asked, None)
        seen = await self._look()
        closed = await self._closed(seen, asked.after)
        found = await self._page(asked, closed)
        if found or closed == seen.newest:
            return found
        raise DatabaseUnavailableError(
            f"a transaction {seen.who()} has been writing to the trail for more than "
            f"{_PATIENCE_SEC:g} s, so it is not known which events may still appear behind "
            f"{asked.after}. Let it end, then try again.",
            nothing_written=True,
        )

    async def closed(self, after: int) -> int:
        """The last event before which none can appear any more; as a rule the newest.

        Args:
            after: before this one none can, as is known already.
        """
        if self._t.session_events.schema is None:
            return await self._transactions.read(self._newest)
        return await self._closed(await self._look(), after)

    async def _closed(self, seen: _Look, after: int) -> int:
        """Up to where nothing can appear any more: the newest event, if that is so in time."""
        if seen.is_over_in(seen):
            return seen.newest
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _PATIENCE_SEC, _FIRST_PAUSE_SEC
        while True:
            if (dense := await self._transactions.read(lambda c: self._dense(c, after))) >= (
                seen.newest
            ):
                return seen.newest
            if loop.time() > deadline:
                return dense
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SEC)
            if seen.is_over_in(await self._look()):
                return seen.newest

    async def _look(self) -> _Look:
        async def look(conn: AsyncConnection) -> _Look:
            name = conn.dialect.identifier_preparer.format_table(self._t.session_events)
            row = (await conn.execute(text(_LOOK.format(events=name)), {"trail": name})).one()
            return _Look(
                row.newest, row.is_standby, int(row.oldest), int(row.next), frozenset(row.writers)
            )

        return await self._transactions.read(look)

    async def _newest(self, conn: AsyncConnection) -> int:
        newest = select(func.max(self._t.session_events.c.event_id))
        return (await conn.execute(newest)).scalar_one() or 0

    async def _dense(self, conn: AsyncConnection, after: int) -> int:
        """Up to where no number is missing behind `after`: what is not there cannot appear."""
        number = self._t.session_events.c.event_id
        near = select(number).where(number > after).order_by(number).limit(_NEAR).subquery()
        placed = select(
            near.c.event_id, func.row_number().over(order_by=near.c.event_id).label("place")
        ).subquery()
        last = select(func.max(placed.c.event_id)).where(
            placed.c.event_id == after + placed.c.place
        )
        return (await conn.execute(last)).scalar_one() or after

    async def _page(self, asked: Page, until: int | None) -> list[SessionEvent]:
        statement = asked.statement(self._t)
        if until is not None:
            statement = statement.where(self._t.session_events.c.event_id <= until)

        async def read(conn: AsyncConnection) -> list[SessionEvent]:
            found = await conn.execute(statement)
            return rows.readable(found, lambda row: SessionEvent(**row._mapping))

        return await self._transactions.read(read)
