"""The SQL that `db sql` prints does what an upgrade does, when a DBA runs it as it is."""

from itertools import pairwise
from pathlib import Path

from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.releases import Release, to_come
from tests.support.revisions import CHECK, COLUMN, FUNCTION, INDEX
from tests.support.sql import described, is_sqlite, run_script


def revisions() -> list[str]:
    return ["base", *reversed([step.revision for step in migrate.history()])]


async def test_the_sql_of_every_range_leaves_the_database_as_it_should_be(empty_url: str) -> None:
    target = Target(empty_url)
    steps = list(pairwise(revisions()))

    run_script(empty_url, await migrate.sql(target))
    assert await migrate.check(target) == []
    run_script(empty_url, await migrate.sql(target, f"{migrate.head()}:base"))
    assert await migrate.current(target) is None

    for older, newer in steps[1:]:
        run_script(empty_url, await migrate.sql(target, f"base:{older}"))
        run_script(empty_url, await migrate.sql(target, f"{older}:{newer}"))
        run_script(empty_url, await migrate.sql(target, f"{newer}:head"))
        assert await migrate.check(target) == []
        for newest, before in pairwise(reversed(revisions())):
            run_script(empty_url, await migrate.sql(target, f"{newest}:{before}"))
            assert await migrate.current(target) == (None if before == "base" else before)


async def test_it_makes_what_an_upgrade_makes(empty_url: str, tmp_path: Path) -> None:
    release = to_come(tmp_path / "next", COLUMN, INDEX, FUNCTION, CHECK)
    assert release("db", "upgrade", url=empty_url).returncode == 0
    upgraded = await described(empty_url)
    assert release("db", "downgrade", "0001", url=empty_url).returncode == 0
    taken_back = await described(empty_url)

    run_script(empty_url, sql(release, empty_url, "0001:head"))
    assert await described(empty_url) == upgraded
    run_script(empty_url, sql(release, empty_url, "head:0001"))
    assert await described(empty_url) == taken_back


def sql(release: Release, url: str, revisions: str) -> str:
    done = release("db", "sql", revisions, url=url)
    assert done.returncode == 0, done.stderr
    assert is_sqlite(url) or done.stdout.startswith("SET lock_timeout")
    return done.stdout
