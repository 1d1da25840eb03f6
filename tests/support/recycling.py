"""Databases that are emptied and given to the next test, where the last one changed data only.

To create a database, and to have its first connection read the catalogs, takes a quarter of a
second of processor time: longer than most tests. To empty one takes a tenth of that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from session_router.database.schema import OLDEST_CODE_TABLE, VERSION_TABLE, build_tables
from session_router.settings import DEFAULT_SCHEMA
from tests.support.databases import PostgresDatabases, run
from tests.support.sql import connected

_GROWN_BYTES: Final = 2**22
"""One that has grown by so much, as by a test of many rows, is not given on."""

_CATALOGS: Final = (
    *("pg_class", "pg_attribute", "pg_attrdef", "pg_proc", "pg_constraint"),
    *("pg_index", "pg_type", "pg_rewrite", "pg_policy", "pg_extension", "pg_publication"),
    *("pg_event_trigger", "pg_default_acl", "pg_statistic", "pg_description"),
    "pg_namespace WHERE nspname NOT LIKE 'pg%temp%'",
    *(f"{DEFAULT_SCHEMA}.{table}" for table in (VERSION_TABLE, OLDEST_CODE_TABLE)),
)
_ROWS: Final = "SELECT sum(hashtext(ctid::text || xmin))"
# A row that was changed, or is another one, has another place or xmin. Settings of the database
# itself, and what it allows to whom, are in catalogs that all databases share.
_STATE: Final = f"""
    SELECT md5(concat(
        {", ".join(f"({_ROWS} FROM {rows})" for rows in _CATALOGS)},
        (SELECT sum(hashtext(concat(oid, tgrelid, tgname, tgfoid, tgtype, tgenabled)))
            FROM pg_trigger),
        (SELECT array_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid),
        d.datacl, d.datconnlimit
    )) AS catalogs, pg_database_size(d.oid) AS bytes
    FROM pg_database d WHERE d.datname = current_database()
"""
_DISCONNECT_OTHERS: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# By these the trail refuses a deletion.
_GUARDS: Final = """
    SELECT format('ALTER TABLE %s %%s TRIGGER %I', tgrelid::regclass, tgname)
    FROM pg_trigger WHERE tgenabled = 'A'
"""
_TABLES: Final = reversed(build_tables(DEFAULT_SCHEMA).metadata.sorted_tables)
_EMPTY: Final = f"""
    SET lock_timeout = '5s';
    {"; ".join(f"DELETE FROM {table}" for table in _TABLES)};
    SELECT setval(pg_get_serial_sequence('{DEFAULT_SCHEMA}.session_events', 'event_id'), 1, false)
"""


class RecycledDatabases:
    """Gives databases with the tables, each as if it were new."""

    def __init__(self, databases: PostgresDatabases) -> None:
        self._databases = databases
        self._idle: list[tuple[str, _State]] = []

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a database with empty tables."""
        if not self._idle:
            url = self._databases.create()
            self._idle.append((url, run(_state_of(url))))
        url, state = self._idle.pop()
        try:
            yield url
        finally:
            if run(_is_emptied(url, state)):
                self._idle.append((url, state))
            else:
                self._databases.drop(url)


@dataclass(frozen=True)
class _State:
    """What a test leaves as it is, if it changes data only."""

    catalogs: str
    bytes: int


async def _state_of(url: str) -> _State:
    async with connected(url) as connection:
        return _State(*(await connection.fetch(_STATE))[0])


async def _is_emptied(url: str, before: _State) -> bool:
    """Whether it could be made as good as new."""
    try:
        async with connected(url) as connection:
            await connection.execute(_DISCONNECT_OTHERS)
            now = _State(*(await connection.fetch(_STATE))[0])
            if now.catalogs != before.catalogs or now.bytes > before.bytes + _GROWN_BYTES:
                return False
            guards = [guard for (guard,) in await connection.fetch(_GUARDS)]
            disabled = [guard % "DISABLE" for guard in guards]
            enabled = [guard % "ENABLE ALWAYS" for guard in guards]
            await connection.execute("; ".join([*disabled, _EMPTY, *enabled]))
    except (asyncpg.PostgresError, OSError):  # it lets nobody in, is renamed, or its rows are held
        return False
    return True
