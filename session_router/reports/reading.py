"""Reads reports, row by row, however many there are."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import UnionType
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    Executable,
    TableClause,
    column,
    func,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import NullType, TypeEngine

from session_router.database import csv_copy
from session_router.database.engine import for_reading, supported, with_our_transactions
from session_router.database.faults import translated
from session_router.database.schema import build_tables
from session_router.database.types import UtcDateTime, UtcDay, UuidText
from session_router.reports import concurrency
from session_router.reports.bounds import Bounds, Moment
from session_router.reports.catalogue import Report
from session_router.reports.copying import line_of
from session_router.reports.filters import EVERY_STREAM, StreamFilter
from session_router.reports.parts import Asked, at_most, begin_of, parts, present_time
from session_router.reports.rows import ConcurrencyBucket, ReportRow
from session_router.schema_name import check_schema

_AT_ONCE: Final = 1_000
_ASTRAY: Final = timedelta(minutes=1)
_TYPES: Final[dict[Any, type[TypeEngine[Any]]]] = {
    datetime: UtcDateTime,
    date: UtcDay,
    UUID: UuidText,
}


@dataclass(frozen=True)
class Told:
    """A stretch of time of which all is told."""

    since: datetime
    until: datetime

    def has_whole(self, begin: datetime, length: timedelta) -> bool:
        """Whether all that happened in an hour or a day is told."""
        return self.since <= begin and begin + length <= self.until


class Reports:
    """The reports of one database.

    Rows are read through cursors, and where there is one for each stream, a day after the other: so
    a million rows take no more memory here, nor a larger sort there, than those of a day, and the
    first few of them come at once. Sessions of a large part of the trail's time are sorted there.

    Args:
        engine: an async engine on asyncpg or aiosqlite; it stays the caller's to dispose of.
        schema: the PostgreSQL schema that holds the views; SQLite has none.

    Raises:
        InvalidSettingError: the schema cannot be called so.
        InvalidDatabaseUrlError: the engine is of another kind.
    """

    def __init__(self, engine: AsyncEngine, schema: str) -> None:
        check_schema(schema)
        self._engine = for_reading(with_our_transactions(supported(engine)))
        self._schema = None if engine.dialect.name == "sqlite" else schema
        self._trail = build_tables(self._schema).session_events

    async def read(
        self,
        report: Report,
        bounds: Bounds,
        *,
        limit: int | None = None,
        newest: int | None = None,
        of: StreamFilter = EVERY_STREAM,
    ) -> AsyncIterator[ReportRow]:
        """The rows of a report, the earliest first.

        Args:
            bounds: on the report's time: when the session or stream began, when the interrupt
                was requested. An hour or a day belongs to it that `since` lies in.
            limit: how many rows at the most.
            newest: so many of the latest, and these first; instead of a limit.
            of: in a report of streams, which.

        Raises:
            InvalidTimeError: the bounds are not acceptable, or the report takes none.
            DatabaseError: the database failed it.
        """
        report.check(bounds)
        view = view_of(report, self._schema)
        async with self._reading() as conn:
            left = limit
            asked = Asked(report, bounds, limit, newest, of)
            async for part in parts(conn, select, view, self._trail, asked):
                async with aclosing(_streamed(conn, at_most(part, left))) as rows:
                    async for row in rows:
                        yield report.row(**row)
                        left = None if left is None else left - 1
                if left == 0:
                    return

    async def copy(
        self,
        report: Report,
        bounds: Bounds,
        write: Callable[[bytes], Awaitable[None]],
        *,
        limit: int | None = None,
        newest: int | None = None,
        of: StreamFilter = EVERY_STREAM,
    ) -> bool:
        """Hand what `read` gives to `write`, as lines of CSV that the database makes.

        Returns:
            whether it can; if not, nothing is written.

        Raises:
            InvalidTimeError: the bounds are not acceptable, or the report takes none.
            DatabaseError: the database failed it.
        """
        report.check(bounds)
        view = view_of(report, self._schema)
        line = line_of(report)
        async with self._reading() as conn:
            if not await csv_copy.is_possible(conn):
                return False
            # A role's own setting may round numbers.
            await conn.execute(select(func.set_config("extra_float_digits", "1", True)))
            left = limit
            asked = Asked(report, bounds, limit, newest, of)
            lines = parts(conn, select(line).select_from, view, self._trail, asked)
            async for part in lines:
                written = await csv_copy.copy(conn, at_most(part, left), write)
                left = None if left is None else left - written
                if left == 0:
                    break
        return True

    async def told(self, report: Report, bounds: Bounds) -> Told | None:
        """From when to when a report of hours or days tells all that happened; None: nothing did.

        What begins earlier, or ends later, is told in part.

        Raises:
            InvalidTimeError: the bounds are not acceptable.
            DatabaseError: the database failed it.
        """
        first_event = select(func.min(self._trail.c.occurred_at))
        async with self._reading() as conn:
            now = await present_time(conn)
            first = (await conn.execute(first_event)).scalar_one()
            since, until = bounds.at(now)
        if first is None:
            return None
        begin = first if since is None else max(first, begin_of(since, report.step))
        return Told(begin, now if until is None else min(now, until))

    async def position(self, since: Moment) -> tuple[int, datetime]:
        """Behind which event of the trail those of a time are, and the time itself.

        Events are numbered in about the order of their times: within a minute.

        Raises:
            InvalidTimeError: the time is not acceptable.
            DatabaseError: the database failed it.
        """
        trail = self._trail
        async with self._reading() as conn:
            time = Bounds(since).at(await present_time(conn))[0]
            assert time is not None
            begin = trail.c.occurred_at >= time - _ASTRAY
            first = (
                await conn.execute(select(func.min(trail.c.occurred_at)).where(begin))
            ).scalar_one()
            if first is None:
                newest = select(func.max(trail.c.event_id))
                return (await conn.execute(newest)).scalar_one() or 0, time
            # The OFFSET keeps the server from looking for the least number in the primary key.
            near = select(trail.c.event_id).where(begin, trail.c.occurred_at < first + 2 * _ASTRAY)
            numbers = near.offset(0).subquery()
            lowest = (await conn.execute(select(func.min(numbers.c.event_id)))).scalar_one()
            return lowest - 1, time

    async def concurrency(self, bounds: Bounds) -> list[ConcurrencyBucket]:
        """The peak and the mean of streams at once, from `since` to `until`, bucket by bucket.

        Left out, `until` is now, and `since` a day before it.

        Raises:
            InvalidTimeError: the bounds are not acceptable, or too far apart.
            DatabaseError: the database failed it.
        """
        async with self._reading() as conn:
            now = await present_time(conn)
            end = Bounds(until=bounds.until or now).at(now)[1]
            assert end is not None
            begin = bounds.since if bounds.since is not None else end - timedelta(days=1)
            since, until = Bounds(begin, end).at(now)
            assert since is not None
            assert until is not None
            begins = concurrency.buckets(since, until)
            found = await conn.execute(
                concurrency.statement(conn.dialect, self._schema, begins, until)
            )
            return [
                ConcurrencyBucket(**row._mapping, seconds=(after - begin).total_seconds())
                for row, begin, after in zip(found, begins, [*begins[1:], until], strict=True)
            ]

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with translated(nothing_written=True):
            async with self._engine.begin() as conn:
                yield conn


def view_of(report: Report, schema: str | None) -> TableClause:
    """The report's view with its columns' types, for statements of one's own."""
    columns: list[ColumnClause[Any]] = [
        column(name, _type_of(field.annotation)) for name, field in report.row.model_fields.items()
    ]
    return table(report.view, *columns, schema=schema)


def _type_of(annotation: Any) -> TypeEngine[Any]:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next((_TYPES[kind]() for kind in kinds if kind in _TYPES), NullType())


async def _streamed(
    conn: AsyncConnection, statement: Executable
) -> AsyncGenerator[dict[str, Any], None]:
    result = await conn.stream(statement, execution_options={"yield_per": _AT_ONCE})
    async for row in result:
        yield dict(row._mapping)
