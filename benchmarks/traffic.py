"""A database with ten times the simulated traffic, multiplied by the database itself.

Its statements are made of names in the database's own catalogue, and take no values.
"""

from typing import Any, Final

import asyncpg

from benchmarks.bench import connected
from tests.support.traffic import Plan, fill
from tests.support.traffic.fill import OWN_TIME

_COPIES: Final = 10
_KEYS: Final = ("session_uid", "stream_id", "request_id", "signal_id")
_LIVE: Final = ("sessions", "agent_streams", "interrupt_signals")
_GUARD: Final = "ALTER TABLE session_events {} TRIGGER session_events_append_only"
# It would be handed every event that one statement inserts, in a file on disk.
_HOOKS: Final = "ALTER TABLE session_events {} TRIGGER session_events_hooks"


async def fill_tenfold(url: str, plan: Plan) -> int:
    """Fill a fresh PostgreSQL database with ten of `plan`, and return the number of events.

    Every id is made ten, each the same wherever it stands, so the laws hold for all of them.
    """
    await fill(url, plan)
    async with connected(url) as connection:
        await connection.execute("SET search_path TO session_router")
        await connection.execute(OWN_TIME.format("DISABLE"))
        await _multiply_events(connection)
        for table in _LIVE:
            await _multiply(connection, table)
        await connection.execute(OWN_TIME.format("ENABLE"))
        await connection.execute("VACUUM ANALYZE")
        count: int = await connection.fetchval("SELECT count(*) FROM session_events")
        return count


async def _multiply_events(connection: "asyncpg.Connection[Any]") -> None:
    """As `_multiply`, but each event beside its copies: what is numbered later occurred later."""
    await connection.execute("CREATE TEMP TABLE once AS TABLE session_events")
    await connection.execute(_GUARD.format("DISABLE"))
    await connection.execute("TRUNCATE session_events RESTART IDENTITY")
    await connection.execute(_GUARD.format("ENABLE ALWAYS"))
    await connection.execute(_HOOKS.format("DISABLE"))
    source = "(SELECT * FROM once ORDER BY event_id) AS once"
    await _insert_copies(connection, "session_events", source, first=0)
    await connection.execute(_HOOKS.format("ENABLE"))
    await connection.execute("DROP TABLE once")


async def _multiply(connection: "asyncpg.Connection[Any]", table: str) -> None:
    """Add copies of the rows."""
    await _insert_copies(connection, table, table, first=1)


async def _insert_copies(
    connection: "asyncpg.Connection[Any]", table: str, source: str, first: int
) -> None:
    """Insert copies in the rows' order; the indexes are made afterwards, in half the time."""
    indexes = await connection.fetch(
        "SELECT c.relname AS name, pg_get_indexdef(c.oid) AS definition "
        "FROM pg_index i JOIN pg_class c ON c.oid = indexrelid "
        "WHERE indrelid = $1::text::regclass AND NOT indisprimary",
        table,
    )
    columns = await connection.fetch(
        "SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attnum > 0 AND attname <> 'event_id' "
        "ORDER BY attnum",
        table,
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    names = ", ".join(column["name"] for column in columns)
    values = ", ".join(_copied(column["name"], column["type"]) for column in columns)
    copies = f"SELECT *, generate_series({first}, {_COPIES - 1}) AS copy FROM {source}"  # noqa: S608
    await connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {values} FROM ({copies}) AS copies"  # noqa: S608
    )
    for index in indexes:
        await connection.execute(index["definition"])


def _copied(column: str, kind: str) -> str:
    if column == "session_id":
        return "session_id || CASE copy WHEN 0 THEN '' ELSE '/' || copy END"
    if column in _KEYS:
        return f"CASE copy WHEN 0 THEN {column} ELSE md5({column}::text || copy)::uuid END"
    if kind.startswith("timestamp"):
        return f"{column} + copy * interval '137 milliseconds'"
    return column
