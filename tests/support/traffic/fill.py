"""Writes simulated traffic in bulk: 1,000,000 events take some seconds on either database."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy.engine import make_url

from session_router.database.definitions.times_0014 import made_by_0014
from session_router.database.sqlite_file import sqlite_file
from session_router.database.url import parse_url
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic.counts import Counts, moment
from tests.support.traffic.plan import Event, Live, Plan
from tests.support.traffic.simulation import Simulation

_Row = Sequence[Any]
_Write = Callable[[str, Sequence[str], Iterable[_Row]], Any]

_COLUMNS: Final = {
    "session_events": ("occurred_at", *Event._fields[1:]),
    "workers": ("worker_id", "host", "pid", "started_at", "heartbeat_at"),
    "sessions": ("session_id", "session_uid", "start_time", "last_updated"),
    "agent_streams": (
        "session_id",
        "agent_type",
        "agent_key",
        "stream_id",
        "worker_id",
        "started_at",
    ),
    "interrupt_signals": (
        "signal_id",
        "worker_id",
        "request_id",
        "session_id",
        "session_uid",
        "agent_type",
        "agent_key",
        "stream_id",
        "action",
        "requested_at",
    ),
}
OWN_TIME: Final = (
    f"ALTER TABLE {DEFAULT_SCHEMA}.session_events {{}} TRIGGER session_events_own_time"
)
"""What refuses events of other days, to be disabled while these are written."""
OWN_TIME_ON_SQLITE: Final = made_by_0014("sqlite", None)

_TIMES: Final = {
    "occurred_at",
    "started_at",
    "heartbeat_at",
    "start_time",
    "last_updated",
    "requested_at",
}
_IDS: Final = {"session_uid", "stream_id", "worker_id", "request_id", "signal_id"}


async def fill(url: str, plan: Plan) -> Counts:
    """Fill a fresh database with what `plan` brings about; returns the simulation's account."""
    simulation = Simulation(plan)
    if make_url(url).get_backend_name() == "sqlite":
        await asyncio.to_thread(_fill_sqlite, url, simulation)
    else:
        await _fill_postgresql(url, simulation)
    return simulation.counts


def _fill_sqlite(url: str, simulation: Simulation) -> None:
    path = sqlite_file(parse_url(url))
    assert path is not None
    with closing(sqlite3.connect(path)) as connection, connection:
        # Nobody else is there yet, and a file that is half filled is of no use.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        # Many times faster than to keep the indexes up to date row by row.
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for made in OWN_TIME_ON_SQLITE:
            connection.execute(made.drop)
        for table, rows in _tables(simulation):
            columns = _COLUMNS[table]
            marks = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
                _converted(columns, rows, _time_text, _uuid_text),
            )
        for _, definition in indexes:
            connection.execute(definition)
        for made in OWN_TIME_ON_SQLITE:
            connection.execute(made.create)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL")


async def _fill_postgresql(url: str, simulation: Simulation) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain)
    try:
        async with connection.transaction():
            await connection.execute(OWN_TIME.format("DISABLE"))
            for table, rows in _tables(simulation):
                await connection.copy_records_to_table(
                    table,
                    schema_name=DEFAULT_SCHEMA,
                    columns=_COLUMNS[table],
                    records=_converted(_COLUMNS[table], rows, moment, _uuid),
                )
            await connection.execute(OWN_TIME.format("ENABLE"))
        # What autovacuum does to a table that lives for longer than a test.
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _tables(simulation: Simulation) -> Iterable[tuple[str, Iterable[_Row]]]:
    """The rows of every table; the tables of the living come last, as only then they are known."""
    for day in simulation.events():
        yield "session_events", day
    live: Live = simulation.live
    end = simulation.until
    yield "workers", [(w, "host", n, end, end) for n, w in enumerate(simulation.workers)]
    yield "sessions", live.sessions
    yield "agent_streams", live.streams
    yield "interrupt_signals", live.signals


def _converted(
    columns: Sequence[str],
    rows: Iterable[_Row],
    time: Callable[[int], Any],
    uuid: Callable[[int], Any],
) -> Iterable[_Row]:
    """Rows as a driver takes them: numbers that are times, or ids, become such."""
    times = [place for place, column in enumerate(columns) if column in _TIMES]
    ids = [place for place, column in enumerate(columns) if column in _IDS]
    for row in rows:
        converted = list(row)
        for place in times:
            if (at := converted[place]) is not None:
                converted[place] = time(at)
        for place in ids:
            if (number := converted[place]) is not None:
                converted[place] = uuid(number)
        yield converted


# An id stands in many rows, a time in two.
@lru_cache(100_000)
def _time_text(at: int) -> str:
    return moment(at).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


@lru_cache(100_000)
def _uuid(number: int) -> UUID:
    return UUID(int=number)


@lru_cache(100_000)
def _uuid_text(number: int) -> str:
    return str(UUID(int=number))
