"""Which code may start on a database that is ahead of it, and what each revision says of that."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from session_router import SchemaError
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.http.service import Service
from tests.support.releases import to_come
from tests.support.revisions import COLUMN, INDEX

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory(str(MIGRATIONS)).get_heads()) == 1


def test_each_revision_says_whose_code_may_run_on_it_and_none_goes_back() -> None:
    order = [step.revision for step in reversed(migrate.history())]
    scripts = ScriptDirectory(str(MIGRATIONS))
    oldest = [scripts.get_revision(revision).module.oldest_code for revision in order[1:]]
    assert set(oldest) <= set(order)
    assert oldest == sorted(oldest, key=order.index)
    assert all(order.index(code) < at for at, code in enumerate(oldest, start=1))


async def test_a_worker_starts_again_on_the_tables_of_the_next_version(
    empty_url: str, tmp_path: Path
) -> None:
    next_release = to_come(tmp_path / "next", COLUMN, INDEX, oldest_code=migrate.head())
    assert next_release("db", "upgrade", url=empty_url).returncode == 0

    found = await migrate.standing(Target(empty_url))
    assert (found.is_ahead, found.may_run, found.needs_upgrade) == (True, True, False)
    assert await migrate.check(Target(empty_url)) == []
    with Service.running(database_url=empty_url) as service:
        assert (await service.ask("PUT", "/sessions/chat-1")).status in (200, 201)


async def test_it_is_refused_where_the_next_version_has_taken_away_what_it_uses(
    empty_url: str, tmp_path: Path
) -> None:
    next_release = to_come(tmp_path / "next", COLUMN, INDEX)
    assert next_release("db", "upgrade", url=empty_url).returncode == 0

    assert not (await migrate.standing(Target(empty_url))).may_run
    [fault] = await migrate.check(Target(empty_url))
    assert "install the version that made it" in fault

    # One step back is the schema of the next version, which still knows of this one.
    step_back = f"{int(migrate.head()) + 1:04}"
    assert next_release("db", "downgrade", step_back, url=empty_url).returncode == 0
    assert (await migrate.standing(Target(empty_url))).may_run


@pytest.mark.parametrize("revision", ["-1", "+1", "no_such"])
async def test_what_could_be_repeated_with_another_end_is_refused(
    database_url: str, revision: str
) -> None:
    with pytest.raises(SchemaError, match="db history"):
        await migrate.downgrade(Target(database_url), revision)
    assert await migrate.current(Target(database_url)) == migrate.head()
