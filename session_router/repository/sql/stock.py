"""How the database is now: counts whose cost has a bound, however much there is in it."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import expiry
from session_router.repository.measures import COUNTED_AT_MOST, Stock
from session_router.repository.sql import rows

_NONE: Final = timedelta(0)

# What the server counts by itself: rows that were inserted, less those that were deleted. After a
# crash, and on a standby, it knows nothing of that; then it is what the last vacuum found.
_LIVE_TUPLES: Final = """
    SELECT CASE WHEN live >= :counted THEN live ELSE vacuumed END
    FROM (
        SELECT pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
            CAST(c.reltuples AS bigint) AS vacuumed
        FROM pg_catalog.pg_class c WHERE c.oid = CAST(:name AS pg_catalog.regclass)
    ) c
"""


async def take(
    conn: AsyncConnection, t: Tables, idle_for: timedelta, grace: timedelta, lease: timedelta
) -> Stock:
    """Count up to `COUNTED_AT_MOST` rows of each table; beyond that, it is an estimate."""
    sessions = await _number(conn, t.sessions)
    signals, oldest = (await conn.execute(open_signals(t))).one()
    now = await rows.now(conn)
    return Stock(
        sessions,
        await _streams(conn, t),
        signals,
        max(now - oldest, _NONE) if oldest is not None else _NONE,
        await _workers(conn, t, lease),
        await _sweep_lag(conn, t, idle_for, grace),
    )


async def _number(conn: AsyncConnection, table: Table) -> int:
    number: int = (await conn.execute(select(func.count()).select_from(first(table)))).scalar_one()
    if number < COUNTED_AT_MOST:
        return number
    return max(number, await _estimate(conn, table))


async def _estimate(conn: AsyncConnection, table: Table) -> int:
    """How many rows a table has, about; SQLite counts them, having no other way."""
    if conn.dialect.name == "sqlite":
        return int((await conn.execute(select(func.count()).select_from(table))).scalar_one())
    name = conn.dialect.identifier_preparer.format_table(table)
    given = {"name": name, "counted": COUNTED_AT_MOST}
    return int((await conn.execute(text(_LIVE_TUPLES), given)).scalar_one())


def first(table: Table, *columns: ColumnElement[Any]) -> Any:
    """So many rows of a table as are counted at the most, whichever they are."""
    wanted = columns or (literal_column("1", Integer).label("one"),)
    return select(*wanted).select_from(table).limit(COUNTED_AT_MOST).subquery()


async def _streams(conn: AsyncConnection, t: Tables) -> dict[str, int]:
    """How many there are of each type; of more than are counted, in proportion."""
    found = rows.readable(await conn.execute(streams_by_type(t)), lambda row: row)
    counted = sum(row.number for row in found)
    of_all = 1.0
    if counted >= COUNTED_AT_MOST:
        of_all = max(await _estimate(conn, t.agent_streams) / counted, 1.0)
    return {str(row.agent_type): round(row.number * of_all) for row in found}


def streams_by_type(t: Tables) -> Select[Any]:
    streams = first(t.agent_streams, t.agent_streams.c.agent_type).c
    return select(streams.agent_type, func.count().label("number")).group_by(streams.agent_type)


def open_signals(t: Tables) -> Select[Any]:
    signals = first(t.interrupt_signals, t.interrupt_signals.c.requested_at).c
    return select(func.count(), func.min(signals.requested_at))


async def _workers(conn: AsyncConnection, t: Tables, lease: timedelta) -> int:
    """Workers whose last heartbeat is younger than the lease."""
    since = await rows.now(conn) - lease
    beats = first(t.workers, t.workers.c.heartbeat_at).c
    statement = select(func.count()).where(beats.heartbeat_at > since)
    return int((await conn.execute(statement)).scalar_one())


async def _sweep_lag(
    conn: AsyncConnection, t: Tables, idle_for: timedelta, grace: timedelta
) -> timedelta:
    """For how long what expired first could have been swept."""
    now = await rows.now(conn)
    lags = [_NONE]
    for statement, kept in ((idlest_session(t), idle_for), (first_of_own_timeouts(t), grace)):
        moment: datetime | None = (await conn.execute(statement)).scalar_one_or_none()
        if moment is not None:
            lags.append(now - moment - kept)
    return max(lags)


def idlest_session(t: Tables) -> Select[Any]:
    sessions = t.sessions.c
    # In the statement's text, by which the index is found.
    return (
        select(sessions.last_updated)
        .where(text("timeout_minutes IS NULL"))
        .order_by(sessions.last_updated, sessions.session_id)
        .limit(1)
    )


def first_of_own_timeouts(t: Tables) -> Select[Any]:
    sessions = t.sessions.c
    moment = expiry(sessions.last_updated, sessions.timeout_minutes)
    return (
        select(moment.label("moment"))
        .where(text("timeout_minutes IS NOT NULL"))
        .order_by(moment, sessions.session_id)
        .limit(1)
    )
