"""A publication of all tables (logical replication) stands in no revision's way."""

from pathlib import Path

import pytest

from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.databases import PostgresDatabases
from tests.support.releases import released, to_come
from tests.support.revisions import COLUMN
from tests.support.sql import query, run_script

PUBLICATION = "CREATE PUBLICATION everything FOR ALL TABLES"
WITHOUT_A_KEY = """
    SELECT relname FROM pg_class WHERE relnamespace = 'session_router'::regnamespace
    AND relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)
"""


async def released_0004(url: str, folder: Path) -> None:
    """As the release of 0004 made it: the table had no key."""
    await migrate.upgrade(Target(url), "0004")
    table = "session_router.session_router_oldest_code"
    await query(url, f"ALTER TABLE {table} DROP CONSTRAINT session_router_oldest_code_pkey")


async def released_0001(url: str, folder: Path) -> None:
    assert released("0.1.0", folder)("db", "upgrade", url=url).returncode == 0


async def nothing(url: str, folder: Path) -> None:
    """An empty database."""


@pytest.mark.parametrize("before", [nothing, released_0001, released_0004])
async def test_a_database_that_publishes_all_goes_up_and_down(
    postgres: PostgresDatabases, tmp_path: Path, before: object
) -> None:
    assert callable(before)
    with postgres.fresh(empty=True) as url:
        await before(url, tmp_path / "before")
        await query(url, PUBLICATION)
        target = Target(url)
        await migrate.upgrade(target)
        assert await migrate.check(target) == []
        assert await query(url, WITHOUT_A_KEY) == []

        next_release = to_come(tmp_path / "next", COLUMN)  # none but its own code may run on it
        assert next_release("db", "upgrade", url=url).returncode == 0
        assert next_release("db", "downgrade", migrate.head(), url=url).returncode == 0
        await migrate.downgrade(target, "base")
        assert await migrate.current(target) is None


async def test_so_it_does_by_the_sql_that_is_printed(postgres: PostgresDatabases) -> None:
    with postgres.fresh(empty=True) as url:
        await query(url, PUBLICATION)
        run_script(url, await migrate.sql(Target(url)))
        assert await migrate.check(Target(url)) == []
        run_script(url, await migrate.sql(Target(url), f"{migrate.head()}:base"))
        assert await migrate.current(Target(url)) is None
