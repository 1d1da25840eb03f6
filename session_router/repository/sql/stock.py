"""How the database is now: on PostgreSQL, what it costs has a bound, however much there is."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Subquery,
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
    return Stock(
        sessions=await _number(conn, t.sessions),
        streams=await _streams(conn, t),
        signals=await _number(conn, t.interrupt_signals),
        oldest_signal=await _since(conn, oldest_signal(t)),
        workers=await _workers(conn, t, lease),
        sweep_lag=max(
            _NONE,
            await _since(conn, idlest_session(t)) - idle_for,
            await _since(conn, first_of_own_timeouts(t)) - grace,
        ),
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


def first(table: Table, *columns: ColumnElement[Any]) -> Subquery:
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


def oldest_signal(t: Tables) -> Select[Any]:
    signals = first(t.interrupt_signals, t.interrupt_signals.c.requested_at).c
    return select(func.min(signals.requested_at).label("moment"))


async def _workers(conn: AsyncConnection, t: Tables, lease: timedelta) -> int:
    """Workers whose last heartbeat is younger than the lease."""
    since = await rows.now(conn) - lease
    beats = first(t.workers, t.workers.c.heartbeat_at).c
    statement = select(func.count()).where(beats.heartbeat_at > since)
    return int((await conn.execute(statement)).scalar_one())


async def _since(conn: AsyncConnection, statement: Select[Any]) -> timedelta:
    """How long ago the one moment was that is selected; zero where there is none."""
    now = await rows.now(conn)
    found = rows.readable(await conn.execute(statement), lambda row: row.moment)
    return max((now - moment for moment in found if moment is not None), default=_NONE)


def idlest_session(t: Tables) -> Select[Any]:
    sessions = t.sessions.c
    # In the statement's text, by which the index is found.
    return (
        select(sessions.last_updated.label("moment"))
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
