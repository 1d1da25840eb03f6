"""The statements that a report is read by: whole, the latest rows, or a day after the other."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    FromClause,
    Select,
    Table,
    TableClause,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.types import UtcDay, clock
from session_router.reports.bounds import Bounds
from session_router.reports.catalogue import Report
from session_router.reports.counting import counted_at_once
from session_router.reports.filters import StreamFilter

_PART: Final = timedelta(days=1)
_LARGE: Final = 0.2
"""From this share of the trail's time on it is faster to count for all sessions at once."""
_OWNER: Final = "owner"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


Chooses = Callable[[FromClause], Select[Any]]
"""What is to be told of the rows of a report."""


@dataclass(frozen=True)
class Asked:
    """What `Reports.read` is asked for."""

    report: Report
    bounds: Bounds
    limit: int | None
    newest: int | None
    of: StreamFilter


async def parts(
    conn: AsyncConnection, chooses: Chooses, view: TableClause, trail: Table, asked: Asked
) -> AsyncIterator[Select[Any]]:
    """The statement within its bounds; or, of a report of single things, one for each day.

    Of sessions in a large part of the trail's time it is one for all of them.
    """
    report = asked.report
    since, until = asked.bounds.at(await present_time(conn))
    statement = chooses(view)
    if asked.newest is not None:
        statement = statement.order_by(*_latest_first(view, report)).limit(asked.newest)
    else:
        statement = statement.order_by(*_earliest_first(view, report))
    if report.time is None:
        yield statement
        return
    time = view.c[report.time]
    within = [] if since is None else [time >= _floor(since, report.step, time)]
    within += [] if until is None else [time < _ceiling(until, report.step, time)]
    within += asked.of.conditions(view)
    if report.step or asked.newest is not None:
        yield statement.where(*within)
        return
    first, last = (await conn.execute(select(func.min(time), func.max(time)).where(*within))).one()
    if report.is_counted and asked.limit is None and await _is_large(conn, trail, first, last):
        lives = counted_at_once(view, trail)
        at = lives.c[report.time]
        in_order = chooses(lives).order_by(*_earliest_first(lives, report))
        yield in_order.where(at >= first, at <= last)
        return
    while first is not None and first <= last:
        yield statement.where(time >= first, time < first + _PART, *within)
        first += _PART


async def _is_large(
    conn: AsyncConnection, trail: Table, first: datetime | None, last: datetime | None
) -> bool:
    """Whether a stretch is a large part of the trail's time."""
    if first is None or last is None:
        return False
    happened = trail.c.occurred_at
    ends = select(func.min(happened), func.max(happened))
    begin, end = (await conn.execute(ends)).one()
    return begin is not None and last - first >= (end - begin) * _LARGE


def _earliest_first(rows: FromClause, report: Report) -> list[ColumnElement[Any]]:
    """Of one time what is nobody's comes first, which the databases see differently."""
    columns = [rows.c[name] for name in report.order]
    return [c.nulls_first() if c.name == _OWNER else c for c in columns]


def _latest_first(rows: FromClause, report: Report) -> list[ColumnElement[Any]]:
    columns = [rows.c[name] for name in report.order]
    return [c.desc().nulls_last() if c.name == _OWNER else c.desc() for c in columns]


def at_most(part: Select[Any], limit: int | None) -> Select[Any]:
    return part if limit is None else part.limit(limit)


def _floor(since: datetime, step: timedelta, time: ColumnClause[Any]) -> date:
    """The beginning of the hour that a bound lies in, or its day."""
    begin = begin_of(since, step)
    return begin.astimezone(UTC).date() if isinstance(time.type, UtcDay) else begin


def begin_of(time: datetime, step: timedelta) -> datetime:
    return time - (time - _EPOCH) % step if step else time


def _ceiling(until: datetime, step: timedelta, time: ColumnClause[Any]) -> date:
    """As `until` itself, where what begins before it is told."""
    if not isinstance(time.type, UtcDay):
        return until
    return _floor(until + step - timedelta(microseconds=1), step, time)


async def present_time(conn: AsyncConnection) -> datetime:
    return (await conn.execute(select(clock()))).scalar_one()
