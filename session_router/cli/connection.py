"""From settings to what one command needs: a repository, a manager, the trail, the reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from session_router.cli.options import target_of

if TYPE_CHECKING:
    from session_router import SessionManager, SessionRepository
    from session_router.access import Keys
    from session_router.audit.trail import Trail
    from session_router.database.migration.target import Target
    from session_router.reports import Reports
    from session_router.settings import Settings


@asynccontextmanager
async def opened_repository(settings: Settings) -> AsyncIterator[SessionRepository]:
    """A repository, on a database that this version may run on.

    Raises:
        SchemaError: it may not: there are no tables, or those of another version.
        DatabaseError: the database cannot be reached.
    """
    from session_router.bootstrap import repository_of

    await refuse_other_versions(target_of(settings))
    repository = repository_of(settings)
    try:
        yield repository
    finally:
        await repository.close()


@asynccontextmanager
async def opened_manager(settings: Settings) -> AsyncIterator[SessionManager]:
    """A manager without background jobs, for what stops streams. Raises likewise."""
    from session_router.bootstrap import manager_of

    async with opened_repository(settings) as repository:
        yield manager_of(settings, repository)


@asynccontextmanager
async def opened_trail(settings: Settings) -> AsyncIterator[Trail]:
    """The audit trail, in a database that has this version's tables. Raises likewise."""
    from session_router.audit.trail import Trail

    await refuse_other_versions(target_of(settings))
    url = settings.database_url.get_secret_value()
    async with Trail.opened(url, schema=settings.database_schema) as trail:
        yield trail


@asynccontextmanager
async def opened_keys(settings: Settings) -> AsyncIterator[Keys]:
    """The keys of callers, in a database that has this version's tables. Raises likewise."""
    from session_router.access import Keys

    await refuse_other_versions(target_of(settings))
    url = settings.database_url.get_secret_value()
    async with Keys.opened(url, schema=settings.database_schema) as keys:
        yield keys


async def refuse_other_versions(target: Target) -> None:
    """Raise SchemaError where this version may not run on a database."""
    from session_router.database.migration.standing import standing

    if (await standing(target)).may_run:
        return
    from session_router.database import migrate
    from session_router.errors import SchemaError

    raise SchemaError(" ".join(await migrate.check(target)))


@asynccontextmanager
async def opened_reports(settings: Settings) -> AsyncIterator[Reports]:
    """The reports of a database that has this version's tables and views. Raises likewise."""
    from session_router.database.connection_names import ConnectionNames
    from session_router.database.engine import create_engine
    from session_router.reports import Reports

    await refuse_other_versions(target_of(settings))
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, names=ConnectionNames("reports"))
    try:
        yield Reports(engine, settings.database_schema)
    finally:
        await engine.dispose()
