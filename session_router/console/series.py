"""What the charts show: the last day, hour by hour, and how many streams there were at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from session_router.database.definitions.reports_0004 import Words, words_of
from session_router.database.types import UtcDateTime
from session_router.reports import Bounds, Reports
from session_router.reports.rows import ConcurrencyBucket
from session_router.repository import SQLAlchemySessionRepository
from session_router.repository.sql import rows
from session_router.settings import DEFAULT_SCHEMA

_DAY: Final = timedelta(days=1)
_FRESH_SEC: Final = 30.0
_OWNERS_REMEMBERED: Final = 100

# Whose a life was, the event of its start tells, in the words of the index.
_OWNED: Final = """
    AND EXISTS (
        SELECT 1 FROM {p}session_events o
        WHERE o.session_uid = e.session_uid AND o.detail = :owner
        AND o.event = 'session_started' AND o.detail IS NOT NULL
    )
"""
_HAPPENED: Final = """
    SELECT {hour} AS hour, e.event, e.outcome, count(*) AS n
    FROM {p}session_events e
    WHERE e.occurred_at >= :since AND {event} IN (
        'session_expired', 'stream_started', 'stream_finished'
    ) {owned}
    GROUP BY {hour}, e.event, e.outcome
"""
_STOPPED: Final = """
    SELECT hour, count(*) AS n,
        min(sec) FILTER (WHERE place >= 0.5) AS median_sec,
        min(sec) FILTER (WHERE place >= 0.99) AS p99_sec
    FROM (
        SELECT {hour} AS hour, {sec} AS sec,
            cume_dist() OVER (PARTITION BY {hour} ORDER BY {sec}) AS place
        FROM {p}session_events e
        WHERE e.event = 'signal_settled' AND e.started_at >= :since
            AND e.outcome = 'delivered' {owned}
    ) AS delivered
    GROUP BY hour ORDER BY hour
"""


@dataclass(frozen=True, slots=True)
class Series:
    """The last day.

    Attributes:
        hours: the beginnings of its hours; the lists have a number for each.
        counts: by name, what happened.
        outcomes: by outcome, the streams that ended so.
        median_sec, p99_sec: from a stop's request to its delivery; None where there was none.
        at_once: how many streams there were; None for who may see one owner's only.
    """

    hours: list[datetime]
    counts: dict[str, list[int]]
    outcomes: dict[str, int]
    median_sec: list[float | None]
    p99_sec: list[float | None]
    at_once: list[ConcurrencyBucket] | None


class History:
    """Reads the series; what it has read it knows for half a minute.

    Args:
        repository: of the database.
    """

    def __init__(self, repository: SQLAlchemySessionRepository) -> None:
        self._repository = repository
        self._schema = repository.tables.sessions.schema
        self._reports = Reports(repository.engine, self._schema or DEFAULT_SCHEMA)
        self._known: OrderedDict[str | None, tuple[float, Series]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def last_day(self, owner: str | None) -> Series:
        """The last day, of that owner's sessions if one is given.

        Raises:
            DeadlineExceededError, DatabaseError: it cannot be read.
        """
        async with self._turn:
            clock = asyncio.get_running_loop().time
            known = self._known.get(owner)
            if known is not None and clock() < known[0]:
                return known[1]
            series = await self._read(owner)
            self._known[owner] = (clock() + _FRESH_SEC, series)
            self._known.move_to_end(owner)
            while len(self._known) > _OWNERS_REMEMBERED:
                self._known.popitem(last=False)
            return series

    async def _read(self, owner: str | None) -> Series:
        at_once = None if owner else await self._reports.concurrency(Bounds(since=_DAY))

        async def read(conn: AsyncConnection) -> Series:
            hours = _hours(await rows.now(conn))
            of = (conn.dialect.name, self._schema, owner, hours[0])
            happened = (await conn.execute(happened_since(*of))).all()
            stopped = (await conn.execute(stopped_since(*of))).all()
            return _series(hours, happened, stopped, at_once)

        return await self._repository.read(read)


def happened_since(
    dialect: str, schema: str | None, owner: str | None, since: datetime
) -> TextualSelect:
    """How often each event and outcome occurred, hour by hour."""
    return _statement(_HAPPENED, "e.occurred_at", dialect, schema, owner, since)


def stopped_since(
    dialect: str, schema: str | None, owner: str | None, since: datetime
) -> TextualSelect:
    """How long it took to stop streams, by the hour of the request."""
    return _statement(_STOPPED, "e.started_at", dialect, schema, owner, since)


def _statement(
    template: str,
    time: str,
    dialect: str,
    schema: str | None,
    owner: str | None,
    since: datetime,
) -> TextualSelect:
    words: Words = words_of(dialect)
    prefix = f"{schema}." if schema else ""
    statement = text(
        template.format(
            p=prefix,
            hour=words.floor("hour", time),
            event=words.unindexed("e.event"),
            sec=words.seconds("e.started_at", "e.occurred_at"),
            owned="" if owner is None else _OWNED.format(p=prefix),
        )
    ).bindparams(bindparam("since", since, UtcDateTime()))
    if owner is not None:
        statement = statement.bindparams(owner=owner)
    return statement.columns(hour=UtcDateTime())


def _hours(now: datetime) -> list[datetime]:
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=ago) for ago in range(24, -1, -1)]


def _series(
    hours: list[datetime],
    happened: Iterable[Any],
    stopped: Iterable[Any],
    at_once: list[ConcurrencyBucket] | None,
) -> Series:
    place = {hour: number for number, hour in enumerate(hours)}
    counts = {
        name: [0] * len(hours) for name in ("stream_started", "stream_finished", "session_expired")
    }
    outcomes: dict[str, int] = {}
    for row in happened:
        number = place.get(row.hour, len(hours) - 1)  # the next hour may just have begun
        counts[row.event][number] += row.n
        if row.outcome is not None:
            outcomes[row.outcome] = outcomes.get(row.outcome, 0) + row.n
    times: Mapping[datetime, Any] = {row.hour: row for row in stopped}
    return Series(
        hours,
        counts,
        outcomes,
        [times[hour].median_sec if hour in times else None for hour in hours],
        [times[hour].p99_sec if hour in times else None for hour in hours],
        at_once,
    )
