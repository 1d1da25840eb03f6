"""Migrations: one Alembic chain for both databases, run from an installed wheel."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from session_router.database.engine import (
    create_engine,
    for_reading,
    parse_url,
    sqlite_file,
    with_our_transactions,
)
from session_router.database.faults import translated
from session_router.database.schema import VERSION_TABLE, build_tables
from session_router.database.shape import differences
from session_router.database.write_turns import WriteTurns
from session_router.errors import SchemaError
from session_router.settings import DEFAULT_SCHEMA

T = TypeVar("T")

_LOCK_TIMEOUT: Final = "5s"


@dataclass(frozen=True)
class Revision:
    """One step of the chain."""

    revision: str
    down_revision: str | None
    summary: str


@dataclass(frozen=True)
class Target:
    """The database to migrate.

    Attributes:
        url: as `SQLAlchemySessionRepository.from_url` takes it.
        schema: the PostgreSQL schema that holds, or is to hold, the tables.
    """

    url: str
    schema: str = DEFAULT_SCHEMA

    @property
    def is_sqlite(self) -> bool:
        return parse_url(self.url).get_backend_name() == "sqlite"

    @property
    def schema_name(self) -> str | None:
        """The schema, or None where the database has no schemas."""
        return None if self.is_sqlite else self.schema

    async def run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Run `work` on a connection of its own.

        Args:
            writes: whether it writes; on SQLite it then does so while nobody else does.

        Raises:
            DatabaseError: the database failed it.
        """
        engine = create_engine(self.url)
        try:
            with translated():
                async with AsyncExitStack() as stack:
                    ours = with_our_transactions(engine)
                    if self.is_sqlite and writes:
                        await stack.enter_async_context(WriteTurns(sqlite_file(engine.url)))
                    if not writes:
                        ours = for_reading(ours)
                    conn = await stack.enter_async_context(ours.connect())
                    return await conn.run_sync(work)
        finally:
            await engine.dispose()


async def upgrade(target: Target, revision: str = "head") -> None:
    """Bring the database to `revision`. Of those that start together, one does the work.

    Raises:
        SchemaError: there is no such revision, or the database's own is not known here.
        DatabaseError: the database failed it; each revision is applied whole or not at all.
    """
    await target.run(lambda conn: _migrate(conn, target, command.upgrade, revision), writes=True)


async def downgrade(target: Target, revision: str) -> None:
    """Take the database back to `revision` (`base`: before the first). Raises as `upgrade`."""
    await target.run(lambda conn: _migrate(conn, target, command.downgrade, revision), writes=True)


async def current(target: Target) -> str | None:
    """The database's revision; None where there is none. Raises `DatabaseError`."""
    return await target.run(lambda conn: _current(conn, target), writes=False)


def head() -> str:
    """The newest revision that this version knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def history() -> list[Revision]:
    """Every revision that this version knows, newest first."""
    return [
        Revision(
            script.revision,
            script.down_revision if isinstance(script.down_revision, str) else None,
            script.doc.strip().splitlines()[0],
        )
        for script in ScriptDirectory.from_config(_config()).walk_revisions()
    ]


async def check(target: Target) -> list[str]:
    """What keeps this version from running on the database, a sentence each; none: it may.

    Raises:
        DatabaseError: the database cannot be reached.
    """

    def compare(conn: Connection) -> list[str]:
        return _behind_or_ahead(_current(conn, target)) or differences(conn, target.schema_name)

    return await target.run(compare, writes=False)


async def sql(target: Target, revisions: str = "head") -> str:
    """The SQL of a range (`FROM:TO`, or `TO` from the first), for a person to run.

    Raises:
        SchemaError: there is no such revision.
    """
    output = io.StringIO()
    config = _config(target, output)
    move = command.downgrade if _goes_down(revisions) else command.upgrade
    # Alembic's environment keeps its state in a module, so another task must not come between.
    await asyncio.to_thread(_run, move, config, revisions, sql=True)
    return output.getvalue()


def migrate_online(conn: Connection, target: Target) -> None:
    """What `migrations/env.py` does on a connection."""
    context.configure(
        connection=conn,
        target_metadata=build_tables(target.schema_name).metadata,
        version_table=VERSION_TABLE,
        version_table_schema=target.schema_name,
        transactional_ddl=True,
        transaction_per_migration=True,
        include_schemas=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def configure_offline(target: Target) -> None:
    """What `migrations/env.py` does to print SQL."""
    url = parse_url(target.url)
    context.configure(
        url=url,
        dialect_name=url.get_backend_name(),
        target_metadata=build_tables(target.schema_name).metadata,
        version_table=VERSION_TABLE,
        version_table_schema=target.schema_name,
        transactional_ddl=True,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        if target.schema_name and context.get_starting_revision_argument() in (None, "base"):
            context.execute(f"CREATE SCHEMA IF NOT EXISTS {target.schema_name}")
        context.run_migrations()


def _migrate(conn: Connection, target: Target, move: Callable[..., None], revision: str) -> None:
    config = _config(target)
    config.attributes["connection"] = conn
    with _alone(conn, target):
        _create_schema(conn, target)
        _run(move, config, revision)


def _run(move: Callable[..., None], config: Config, revision: str, **options: bool) -> None:
    try:
        move(config, revision, **options)
    except CommandError as error:
        raise SchemaError(
            f"revision {revision!r}: {error}. 'session-router db history' lists those that this "
            "version knows; a newer version may know more."
        ) from error


@contextmanager
def _alone(conn: Connection, target: Target) -> Iterator[None]:
    """Hold an advisory lock on PostgreSQL; on SQLite the caller's turn at writing does."""
    if target.is_sqlite:
        yield
        return
    name = {"name": f"{target.schema}.{VERSION_TABLE}"}
    conn.execute(text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), name)
    # The advisory lock is waited for as long as it takes; a table's lock is not.
    conn.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
    conn.commit()
    try:
        yield
    finally:
        conn.rollback()
        conn.execute(text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), name)
        conn.commit()


def _create_schema(conn: Connection, target: Target) -> None:
    """Create the schema where it is missing; IF NOT EXISTS would want the right in any case."""
    if target.schema_name is None:
        return
    found = conn.execute(
        text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": target.schema_name}
    )
    if found.scalar() is None:
        conn.execute(text(f"CREATE SCHEMA {target.schema_name}"))
    conn.commit()


def _current(conn: Connection, target: Target) -> str | None:
    options = {"version_table": VERSION_TABLE, "version_table_schema": target.schema_name}
    found = MigrationContext.configure(conn, opts=options).get_current_heads()
    conn.rollback()
    return ", ".join(found) or None


def _behind_or_ahead(revision: str | None) -> list[str]:
    if revision == head():
        return []
    known = [step.revision for step in history()]
    if revision is None:
        fault = f"the database has no tables of session_router; this version needs {head()}"
    elif revision in known:
        behind = known.index(revision)
        fault = f"the database is at {revision}, {behind} revision(s) behind {head()}"
    else:
        newer = f"which this version does not know (its newest is {head()})"
        return [f"the database is at {revision}, {newer}: install the version that made it."]
    return [f"{fault}: run 'session-router db upgrade'."]


def _goes_down(revisions: str) -> bool:
    start, colon, end = revisions.partition(":")
    order = ["base", *reversed([step.revision for step in history()]), "head"]
    return bool(colon) and start in order and end in order and order.index(start) > order.index(end)


def _config(target: Target | None = None, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["target"] = target
    return config


def _migrations() -> Path:
    """Inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parent / "migrations"
