"""Migrations: one Alembic chain for both databases, run from an installed wheel."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.migration import discarding
from session_router.database.migration.compare import differences, left_out
from session_router.database.migration.lock import patiently, take_migration_lock
from session_router.database.migration.standing import (
    Standing,
    head,
    known,
    migrations,
    standing,
    standing_seen_by,
)
from session_router.database.migration.target import Target
from session_router.database.privileges import open_to_everybody
from session_router.database.schema import VERSION_TABLE
from session_router.database.sqlite_file import no_such_file
from session_router.errors import DatabaseError, SchemaError

__all__ = [
    "Revision",
    "Standing",
    "Target",
    "check",
    "current",
    "downgrade",
    "head",
    "history",
    "left_out_of_check",
    "sql",
    "standing",
    "upgrade",
]

Move = Callable[..., None]


@dataclass(frozen=True)
class Revision:
    """One step of the chain."""

    revision: str
    down_revision: str | None
    summary: str


async def upgrade(target: Target, revision: str = "head") -> None:
    """Bring the database to `revision`. Of those that start together, one does the work.

    A database that is ahead of this version, and that this version may run on, is left alone.

    Raises:
        SchemaError: there is no such revision, or the database's own is not known here.
        DatabaseError: the database failed it, or a table could not be locked; each revision is
            applied whole or not at all, or stands so that the same can be run again.
    """
    if revision == "head" and (await standing(target)).may_run:
        return
    await _migrate(target, command.upgrade, revision)


async def downgrade(
    target: Target, revision: str, *, discard_audit: bool = False, actor: str | None = None
) -> None:
    """Take the database back to `revision` (`base`: before the first).

    Args:
        discard_audit: whether seals and the records of erasures and prunings may be lost, which
            no revision below the audit's can keep; the trail tells of it.
        actor: who wants that.

    Raises:
        InvalidValueError: something would be lost, and may not. Else as `upgrade`.
    """

    def agree(conn: Connection, config: Config) -> None:
        if _is_below_the_audit(revision):
            config.attributes["discarded"] = discarding.agreed(
                conn, target.schema_name, is_meant=discard_audit, actor=actor
            )

    if (path := target.missing_file) is not None:
        raise SchemaError(no_such_file(path))
    await _migrate(target, command.downgrade, revision, agree)


async def current(target: Target) -> str | None:
    """The database's revision; None where there is none. Raises `DatabaseError`."""
    return (await standing(target)).revision


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
        found = standing_seen_by(conn, target)
        if found.revision == found.newest:
            schema = target.schema_name
            return differences(conn, schema) + open_to_everybody(conn, schema)
        return [] if found.may_run else [_behind_or_ahead(found)]

    if (path := target.missing_file) is not None:
        return [no_such_file(path)]
    return await target.run(compare, writes=False)


async def left_out_of_check(target: Target) -> str | None:
    """What `check` cannot compare here, why, and where it can; None: it compares all.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    if target.missing_file is not None:
        return None
    return await target.run(lambda conn: left_out(conn, target.schema_name), writes=False)


async def sql(target: Target, revisions: str = "head") -> str:
    """The SQL of a range (`FROM:TO`, or `TO` from the first), for a person to run.

    Raises:
        SchemaError: there is no such revision.
    """
    output = io.StringIO()
    config = _config(target, output)
    move = command.upgrade
    if _goes_down(revisions):
        move = command.downgrade
        start, _, end = revisions.partition(":")
        config.attributes["guard"] = _is_below_the_audit(end) and not _is_below_the_audit(start)
    # Alembic's environment keeps its state in a module, so another task must not come between.
    await asyncio.to_thread(_run, move, config, revisions, sql=True)
    return output.getvalue()


async def _migrate(
    target: Target,
    move: Move,
    revision: str,
    prepare: Callable[[Connection, Config], None] = lambda _conn, _config: None,
) -> None:
    config = _config(target)

    def run(conn: Connection) -> None:
        config.attributes["connection"] = conn
        _run(move, config, revision)

    # Whoever tries again must come to the same end, which a relative revision ('-1') would not.
    if revision not in {*known(), "head", "base"}:
        raise _no_such(revision, "it is not in the history")
    async with target.connected(writes=True) as conn:
        if target.schema_name is None:
            await conn.run_sync(prepare, config)
            await conn.run_sync(run)
            return
        await _refuse_read_only(conn)
        await take_migration_lock(conn, f"{target.schema_name}.{VERSION_TABLE}")
        await _create_schema(conn, target.schema_name)
        await conn.run_sync(prepare, config)
        await patiently(lambda: conn.run_sync(run), conn, target.schema_name)


def _run(move: Move, config: Config, revision: str, **options: bool) -> None:
    try:
        move(config, revision, **options)
    except CommandError as error:
        raise _no_such(revision, error) from error


def _no_such(revision: str, why: object) -> SchemaError:
    return SchemaError(
        f"revision {revision!r}: {why}. 'session-router db history' lists those that this "
        "version knows; a newer version may know more."
    )


async def _refuse_read_only(conn: AsyncConnection) -> None:
    found = await conn.execute(
        text("SELECT current_setting('transaction_read_only')::bool, pg_is_in_recovery()")
    )
    is_read_only, is_standby = found.one()
    await conn.rollback()
    if is_standby:
        raise DatabaseError("the database is a standby; migrate the primary.")
    if is_read_only:
        raise DatabaseError(
            "the role or the database has default_transaction_read_only = on, so that nothing can "
            "be changed; set it off, or migrate as another role."
        )


async def _create_schema(conn: AsyncConnection, schema: str) -> None:
    """Create the schema where it is missing; IF NOT EXISTS would want the right in any case."""
    find = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    if (await conn.execute(find, {"name": schema})).scalar() is None:
        await conn.execute(text(f"CREATE SCHEMA {schema}"))
    await conn.commit()


def _behind_or_ahead(found: Standing) -> str:
    if found.revision is None:
        fault = f"the database has no tables of session_router; this version needs {found.newest}"
    elif found.is_ahead:
        newer = f"which this version does not know (its newest is {found.newest})"
        return f"the database is at {found.revision}, {newer}: install the version that made it."
    else:
        behind = known().index(found.revision)
        fault = f"the database is at {found.revision}, {behind} revision(s) behind {found.newest}"
    return f"{fault}: run 'session-router db upgrade'."


def _is_below_the_audit(revision: str) -> bool:
    order = ["base", *reversed(known()), "head"]
    return revision in order[: order.index(discarding.FIRST_WITH_AUDIT)]


def _goes_down(revisions: str) -> bool:
    start, colon, end = revisions.partition(":")
    order = ["base", *reversed(known()), "head"]
    return bool(colon) and start in order and end in order and order.index(start) > order.index(end)


def _config(target: Target | None = None, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output else Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    config.attributes["target"] = target
    return config
