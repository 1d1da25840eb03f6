"""What happens in a run of Alembic, on a connection or on paper; `migrations/env.py` calls it."""

from collections.abc import Sequence
from typing import Any, Final

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import Connection, delete, exists, insert, literal, select, text
from sqlalchemy.schema import CreateTable, DropTable

from session_router.database.migration.discarding import guard, tell
from session_router.database.migration.lock import LOCK_TIMEOUT
from session_router.database.migration.target import Target
from session_router.database.schema import (
    OLDEST_CODE_TABLE,
    VERSION_TABLE,
    build_tables,
    oldest_code_table,
)
from session_router.database.url import parse_url

# Nobody waits for long behind a revision; of a role's or a database's own settings, those that a
# revision could fail by, or make something else by, do not hold.
_SETTINGS: Final = (
    f"SET lock_timeout = '{LOCK_TIMEOUT}'",
    "SET statement_timeout = 0",
    "SET search_path = pg_catalog",
    "SET quote_all_identifiers = off",
    "SET standard_conforming_strings = on",
    "SET plpgsql.extra_errors = none",
)


def migrate_online(conn: Connection, target: Target) -> None:
    """Run the revisions that Alembic was asked for, each in a transaction of its own."""
    if target.schema_name:
        for setting in _SETTINGS:
            conn.execute(text(setting))
        conn.commit()
    context.configure(connection=conn, include_schemas=True, **_options(target))
    with context.begin_transaction():
        context.run_migrations()


def configure_offline(target: Target) -> None:
    """Print what the revisions would do."""
    url = parse_url(target.url)
    context.configure(
        url=url,
        dialect_name=url.get_backend_name(),
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **_options(target),
    )
    with context.begin_transaction():
        if target.schema_name:
            for setting in _SETTINGS:
                context.execute(setting)
            if context.get_starting_revision_argument() in (None, "base"):
                context.execute(f"CREATE SCHEMA IF NOT EXISTS {target.schema_name}")
        if context.config.attributes.get("guard"):
            for statement in guard(url.get_backend_name(), target.schema_name):
                context.execute(statement)
        context.run_migrations()


def _options(target: Target) -> dict[str, Any]:
    return {
        "target_metadata": build_tables(target.schema_name).metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": target.schema_name,
        "transactional_ddl": True,
        "transaction_per_migration": True,
        "on_version_apply": [_write_oldest_code, _tell_what_is_discarded],
        "include_object": _is_of_the_metadata,
    }


def _is_of_the_metadata(
    item: object, name: str | None, kind: str, found: bool, counterpart: object
) -> bool:
    """For Alembic's autogenerate: one table is written by the runs themselves, as its own is."""
    return name != OLDEST_CODE_TABLE


def _tell_what_is_discarded(
    *, ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object
) -> None:
    tell(ctx, step, context.config.attributes.get("discarded"))


def _write_oldest_code(
    *, ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object
) -> None:
    """Write down, with the revision, whose code may run on it: code that is older cannot know.

    Before the first revision there is nothing to write down, and nothing of ours is left behind.
    What stays the same is left alone: before 0005 the table had no key, so that in a database with
    a publication of all tables no row of it can be deleted.
    """
    table = oldest_code_table(ctx.version_table_schema)
    if not step.destination_revisions:
        ctx.execute(DropTable(table, if_exists=True))
        ctx.execute(DropTable(ctx._version))
        return
    ctx.execute(CreateTable(table, if_not_exists=True))
    oldest = _oldest_code(step.destination_revisions)
    if oldest != _oldest_code(step.source_revisions):
        ctx.execute(delete(table))
    missing = select(literal(oldest)).where(~exists(select(table)))
    ctx.execute(insert(table).from_select(["revision"], missing))


def _oldest_code(revisions: Sequence[object]) -> str | None:
    for script in revisions:
        if isinstance(script, Script):
            return str(getattr(script.module, "oldest_code", script.revision))
    return None
