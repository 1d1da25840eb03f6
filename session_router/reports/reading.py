"""Reads reports, row by row, however many there are."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import UnionType
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    Executable,
    Select,
    TableClause,
    column,
    func,
    select,
    table,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import NullType, TypeEngine

from session_router.database import csv_copy
from session_router.database.engine import for_reading, supported, with_our_transactions
from session_router.database.faults import translated
from session_router.database.types import UtcDateTime, UtcDay, UuidText, clock
from session_router.reports import concurrency
from session_router.reports.bounds import Bounds
from session_router.reports.catalogue import Report
from session_router.reports.copying import line_of
from session_router.reports.rows import ConcurrencyBucket, ReportRow
from session_router.schema_name import check_schema

_AT_ONCE: Final = 1_000
_PART: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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

    Rows are read through cursors, and where there is one for each session or stream, a day after
    the other: so a million rows take no more memory here, nor a larger sort there, than those of
    a day, and the first few of them come at once.

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
        self._trail = f"{self._schema}.session_events" if self._schema else "session_events"

    async def read(
        self, report: Report, bounds: Bounds, *, limit: int | None = None
    ) -> AsyncIterator[ReportRow]:
        """The rows of a report, the earliest first.

        Args:
            bounds: on the report's time: when the session or stream began, when the interrupt
                was requested. An hour or a day belongs to it that `since` lies in.
            limit: how many rows at the most.

        Raises:
            InvalidTimeError: the bounds are not acceptable, or the report takes none.
            DatabaseError: the database failed it.
        """
        report.check(bounds)
        view = view_of(report, self._schema)
        statement = select(view).order_by(*(view.c[name] for name in report.order))
        async with self._reading() as conn:
            since, until = bounds.at(await _now(conn))
            left = limit
            async for part in _parts(conn, statement, view, report, since, until):
                async with aclosing(_streamed(conn, part.limit(left))) as rows:
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
        statement = select(line_of(report)).select_from(view)
        statement = statement.order_by(*(view.c[name] for name in report.order))
        async with self._reading() as conn:
            if not await csv_copy.is_possible(conn):
                return False
            # A role's own setting may round numbers.
            await conn.execute(select(func.set_config("extra_float_digits", "1", True)))
            since, until = bounds.at(await _now(conn))
            left = limit
            async for part in _parts(conn, statement, view, report, since, until):
                written = await csv_copy.copy(conn, part.limit(left), write)
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
        first_event = text(f"SELECT min(occurred_at) AS first FROM {self._trail}")  # noqa: S608 - a name of ours
        async with self._reading() as conn:
            now = await _now(conn)
            first = (
                await conn.execute(first_event.columns(column("first", UtcDateTime())))
            ).scalar_one()
            since, until = bounds.at(now)
        if first is None:
            return None
        begin = first if since is None else max(first, _begin(since, report.step))
        return Told(begin, now if until is None else min(now, until))

    async def concurrency(self, bounds: Bounds) -> list[ConcurrencyBucket]:
        """The peak and the mean of streams at once, from `since` to `until`, bucket by bucket.

        Left out, `until` is now, and `since` a day before it.

        Raises:
            InvalidTimeError: the bounds are not acceptable, or too far apart.
            DatabaseError: the database failed it.
        """
        async with self._reading() as conn:
            now = await _now(conn)
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
        with translated():
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


async def _parts(
    conn: AsyncConnection,
    statement: Select[Any],
    view: TableClause,
    report: Report,
    since: datetime | None,
    until: datetime | None,
) -> AsyncIterator[Select[Any]]:
    """The statement within its bounds; or, of a report of single things, one for each day."""
    if report.time is None:
        yield statement
        return
    time = view.c[report.time]
    within = [] if since is None else [time >= _floor(since, report.step, time)]
    within += [] if until is None else [time < _ceiling(until, report.step, time)]
    if report.step:
        yield statement.where(*within)
        return
    first, last = (await conn.execute(select(func.min(time), func.max(time)).where(*within))).one()
    while first is not None and first <= last:
        yield statement.where(time >= first, time < first + _PART, *within)
        first += _PART


def _floor(since: datetime, step: timedelta, time: ColumnClause[Any]) -> date:
    """The beginning of the hour that a bound lies in, or its day."""
    begin = _begin(since, step)
    return begin.astimezone(UTC).date() if isinstance(time.type, UtcDay) else begin


def _begin(time: datetime, step: timedelta) -> datetime:
    return time - (time - _EPOCH) % step if step else time


def _ceiling(until: datetime, step: timedelta, time: ColumnClause[Any]) -> date:
    """As `until` itself, where what begins before it is told."""
    if not isinstance(time.type, UtcDay):
        return until
    return _floor(until + step - timedelta(microseconds=1), step, time)


async def _now(conn: AsyncConnection) -> datetime:
    return (await conn.execute(select(clock()))).scalar_one()


async def _streamed(
    conn: AsyncConnection, statement: Executable
) -> AsyncGenerator[dict[str, Any], None]:
    result = await conn.stream(statement, execution_options={"yield_per": _AT_ONCE})
    async for row in result:
        yield dict(row._mapping)
