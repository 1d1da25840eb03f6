"""One migration at a time, and none that keeps the database's users waiting for long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import logs
from session_router.errors import DatabaseError

LOCK_TIMEOUT: Final = "1500ms"
"""How long a revision waits for a table's lock, with everybody else behind it in the queue.

More than `deadlock_timeout` (1 s), after which PostgreSQL itself ends an autovacuum in the way.
"""
PATIENCE_SEC: Final = 60.0
"""How long a revision that cannot have its locks is tried again."""

_FIRST_PAUSE_SEC: Final = 0.5
_LONGEST_PAUSE_SEC: Final = 5.0
_TURN_POLL_SEC: Final = 0.2
# lock_not_available and deadlock_detected
_NO_LOCK: Final = {"55P03", "40P01"}

_IN_THE_WAY: Final = text("""
    SELECT DISTINCT pid, xact_start,
           concat_ws(', ', 'process ' || pid, usename,
               coalesce(nullif(application_name, ''), backend_type), state,
               'in a transaction since ' || date_trunc('second', xact_start)) AS who
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    JOIN pg_class ON pg_class.oid = relation
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema)
      AND granted AND pid <> pg_backend_pid() AND datname = current_database()
      AND xact_start < clock_timestamp() - (:waited)::text::interval
    ORDER BY xact_start LIMIT 3
""")


async def take_migration_lock(conn: AsyncConnection, name: str) -> None:
    """Hold an advisory lock on `name` for as long as the connection lasts.

    It is asked for time and again, never waited for: a session that waits in a statement holds a
    snapshot, and a CREATE INDEX CONCURRENTLY of the one whose turn it is would wait for that.
    """
    ask = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    while not (await conn.execute(ask, {"name": name})).scalar_one():
        await conn.commit()
        await asyncio.sleep(_TURN_POLL_SEC)
    await conn.commit()


async def patiently(
    migrate: Callable[[], Awaitable[None]], conn: AsyncConnection, schema: str
) -> None:
    """Run `migrate` until it has its locks; between two tries, all who waited behind it go on.

    Raises:
        DatabaseError: it had not got them in `PATIENCE_SEC`; the message names who has them.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + PATIENCE_SEC, _FIRST_PAUSE_SEC
    while True:
        try:
            return await migrate()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_LOCK:
                raise
            await conn.rollback()
            holders = await _who_is_in_the_way(conn, schema)
            if loop.time() + pause > deadline:
                raise DatabaseError(_gave_up(holders)) from error
        logs.migration_waits(holders, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SEC)


async def _who_is_in_the_way(conn: AsyncConnection, schema: str) -> str:
    found = await conn.execute(_IN_THE_WAY, {"schema": schema, "waited": LOCK_TIMEOUT})
    holders = "; ".join(row.who for row in found)
    await conn.rollback()
    return holders or "nobody any more"


def _gave_up(holders: str) -> str:
    return (
        f"a revision could not lock its tables in {PATIENCE_SEC:.0f} s of trying, and was rolled "
        f"back; revisions before it are done. In its way: {holders}. Wait for the end of that, or "
        "end it with pg_terminate_backend(PID), and run the same again."
    )
