"""Where a database is, seen from this version: asked for by every command, so without Alembic.

Alembic is for going somewhere; it takes a while to import, and so do the revisions.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from session_router.database.migration.target import Target
from session_router.database.schema import VERSION_TABLE, oldest_code_table


@dataclass(frozen=True)
class Standing:
    """Where a database is, seen from this version.

    Attributes:
        revision: the database's; None where there are no tables.
        newest: the newest that this version knows.
        oldest_code: the revision that code must know to run on a database that is ahead of it;
            None where none is written down.
    """

    revision: str | None
    newest: str
    oldest_code: str | None = None

    @property
    def is_ahead(self) -> bool:
        return self.revision is not None and self.revision not in known()

    @property
    def needs_upgrade(self) -> bool:
        return self.revision != self.newest and not self.is_ahead

    @property
    def may_run(self) -> bool:
        """Whether this version's code may run on the database."""
        return self.revision == self.newest or (self.is_ahead and self.oldest_code in known())


async def standing(target: Target) -> Standing:
    """Where the database is. Raises `DatabaseError`."""
    if target.missing_file is not None:
        return Standing(None, head())
    return await target.run(lambda conn: standing_seen_by(conn, target), writes=False)


def standing_seen_by(conn: Connection, target: Target) -> Standing:
    """The same by a connection, whose transaction ends with it."""
    revision, newest = _revision(conn, target), head()
    oldest_code = None if revision == newest else _oldest_code(conn, target)
    conn.rollback()
    return Standing(revision, newest, oldest_code)


def head() -> str:
    """The newest revision that this version knows."""
    return known()[0]


@lru_cache
def known() -> tuple[str, ...]:
    """The revisions that this version knows, newest first: the numbers that their files have."""
    files = (migrations() / "versions").glob("[0-9]*_*.py")
    return tuple(sorted((file.name.partition("_")[0] for file in files), reverse=True))


def migrations() -> Path:
    """Inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parents[2]
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"


def _revision(conn: Connection, target: Target) -> str | None:
    """What Alembic has written down."""
    if not inspect(conn).has_table(VERSION_TABLE, schema=target.schema_name):
        return None
    versions = table(VERSION_TABLE, column("version_num"), schema=target.schema_name)
    return ", ".join(conn.scalars(select(versions.c.version_num))) or None


def _oldest_code(conn: Connection, target: Target) -> str | None:
    written = oldest_code_table(target.schema_name)
    if not inspect(conn).has_table(written.name, schema=written.schema):
        return None
    return conn.scalar(select(written.c.revision))
