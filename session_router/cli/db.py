"""`session-router db`: the tables, and the migrations that make them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from session_router.cli import output
from session_router.cli.exit_codes import ExitCode
from session_router.cli.options import DatabaseUrl, Json, actor_or_login, settings_of, target_of
from session_router.log_output import write_log

if TYPE_CHECKING:
    from session_router.database.migrate import Standing, Target


def upgrade(
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="See 'db history'.")] = "head",
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Bring the tables to REVISION, or to the newest.

    Creates a missing SQLite file. Of those that start together on one PostgreSQL database, one
    does the work and the others wait for it.
    """
    from session_router.database import migrate

    target = _to_be_moved(database_url)
    _move(target, migrate.upgrade(target, revision), as_json)


def downgrade(
    revision: Annotated[
        str,
        typer.Argument(
            metavar="REVISION", help="See 'db history'; base: before the first.", show_default=False
        ),
    ],
    discard_audit: Annotated[
        bool,
        typer.Option("--discard-audit", help="Give up seals, and records of erasure and pruning."),
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Take the tables back to REVISION. What newer revisions added is lost.

    Below 0003 there is no audit. While seals, erasures or prunings are recorded, the way there
    takes --discard-audit; the trail tells of it by the story of session 'audit-discarded'.
    """
    from session_router.database import migrate

    target = _to_be_moved(database_url)
    going_down = migrate.downgrade(
        target, revision, discard_audit=discard_audit, actor=actor_or_login(None)
    )
    _move(target, going_down, as_json)


def current(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Show which revision the database is at.

    And what that means for this version. A newer version's database tells which code may run on
    it: in JSON, `may_run` says whether this version's may, and `needs_upgrade` whether
    'session-router db upgrade' has work to do.
    """
    found = _standing(target_of(settings_of(database_url)))
    if as_json:
        output.show_json(
            {
                "revision": found.revision,
                "newest": found.newest,
                "needs_upgrade": found.needs_upgrade,
                "may_run": found.may_run,
            }
        )
    else:
        output.say(_described(found))


def history(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List the revisions that this version knows.

    The newest first. Asks no database, unless one is named by --database-url: then its revision
    is marked.
    """
    from session_router.database import migrate

    here = None
    if database_url is not None:
        here = _standing(target_of(settings_of(database_url))).revision
    steps = migrate.history()
    if as_json:
        output.show_json([vars(step) | {"is_current": step.revision == here} for step in steps])
        return
    output.show_rows(
        ("revision", "follows", "summary", ""),
        (
            (
                step.revision,
                step.down_revision or "",
                step.summary,
                "the database is here" if step.revision == here else "",
            )
            for step in steps
        ),
    )


def check(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Compare the database with what this version needs.

    Exits with 1 where this version may not run on it. Tables, columns, indexes, constraints,
    triggers and views are compared by definition, unless the database is a newer version's. On a
    standby, and for a role that may make no temporary tables, what cannot be compared is named.
    """
    from session_router.database import migrate

    target = target_of(settings_of(database_url))
    faults = asyncio.run(migrate.check(target))
    left_out = asyncio.run(migrate.left_out_of_check(target))
    if as_json:
        output.show_json({"ok": not faults, "differences": faults, "left_out": left_out})
    elif not faults:
        output.say(_fit(_standing(target)))
    else:
        for fault in faults:
            output.say(output.escape(fault))
    if left_out is not None:
        output.note(left_out)
    if faults:
        raise typer.Exit(ExitCode.FAULT)


def sql(
    revisions: Annotated[
        str, typer.Argument(metavar="FROM:TO", help="Or TO alone: from the first.")
    ] = "head",
    database_url: DatabaseUrl = None,
) -> None:
    """Print the SQL of revisions, for somebody else to run. The database is not asked."""
    from session_router.database import migrate

    target = target_of(settings_of(database_url))
    output.show_exactly(asyncio.run(migrate.sql(target, revisions)).rstrip())


def _to_be_moved(database_url: str | None) -> Target:
    """The database; it may take a while, so the log tells what a revision waits for."""
    settings = settings_of(database_url)
    write_log(settings.log_format, settings.log_level)
    return target_of(settings)


def _move(target: Target, move: Coroutine[Any, Any, None], as_json: bool) -> None:
    with _steps_shown() as steps:
        asyncio.run(move)
    revision = _standing(target).revision
    if as_json:
        output.show_json({"revision": revision, "steps": steps})
        return
    done = "the database is at" if steps else "nothing to do, the database is at"
    output.say(f"{done} {revision or 'no revision: it has no tables of session_router'}")


def _standing(target: Target) -> Standing:
    from session_router.database import migrate

    return asyncio.run(migrate.standing(target))


def _described(found: Standing) -> str:
    if found.revision == found.newest:
        return f"{found.revision}, the newest that this version knows"
    if found.revision is None:
        return f"none: the database has no tables of session_router (newest: {found.newest})"
    if found.is_ahead:
        may = "may" if found.may_run else "may not"
        return f"{found.revision}, newer than {found.newest}: this version {may} run on it"
    return f"{found.revision} (newest that this version knows: {found.newest})"


def _fit(found: Standing) -> str:
    if found.is_ahead:
        return (
            f"the database is of a newer version ({found.revision}), and this one "
            f"({found.newest}) may run on it"
        )
    return f"the database is as this version needs it ({found.newest})"


@contextmanager
def _steps_shown() -> Iterator[list[str]]:
    """Show and collect the steps that are taken; Alembic tells of each in its log."""
    steps: list[str] = []

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            step = " ".join(record.getMessage().split()[1:])
            if record.msg == "Running %s" and step not in steps:  # it may have been tried before
                steps.append(step)
                output.note(step)

    log, handler = logging.getLogger("alembic.runtime.migration"), Shown()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield steps
    finally:
        log.removeHandler(handler)
