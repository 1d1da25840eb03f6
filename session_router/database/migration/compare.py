"""How a database differs from the metadata, object by object.

Definitions are compared in the database's own words: the metadata is created for a moment where
nobody sees it (a scratch SQLite database in memory; PostgreSQL's schema for temporary tables, in
a transaction that is rolled back), and described by the same queries. So a CHECK that was
written differently and means something else is found, which a comparison of names would miss.
Where PostgreSQL can make nothing, names, types and functions' text have to do.
"""

from typing import Final

from sqlalchemy import Connection

from session_router.database.definitions import definitions
from session_router.database.migration.described_by_postgresql import found_and_wanted
from session_router.database.migration.described_by_sqlite import found_on_sqlite, wanted_on_sqlite
from session_router.database.migration.differences import compare
from session_router.database.migration.outline import outlines, why_outline_only
from session_router.database.schema import build_tables

_LEFT_OUT: Final = "defaults, rules and how indexes, triggers and views are made were not compared"


def differences(conn: Connection, schema: str | None) -> list[str]:
    """Every difference between the database and the metadata, a sentence each."""
    names = [table.name for table in build_tables(schema).metadata.sorted_tables]
    names += [made.name for made in definitions(conn.dialect.name, schema)]
    if schema is None:
        found, wanted = found_on_sqlite(conn, names), wanted_on_sqlite(names)
    elif why_outline_only(conn) is not None:
        found, wanted = outlines(conn, schema, names)
    else:
        conn.rollback()
        found, wanted = found_and_wanted(conn, schema, names)
    conn.rollback()
    return compare(found, wanted)


def left_out(conn: Connection, schema: str | None) -> str | None:
    """What `differences` cannot compare here, why, and where it can; None: nothing."""
    why = None if schema is None else why_outline_only(conn)
    conn.rollback()
    return f"{_LEFT_OUT}: {why}" if why else None
