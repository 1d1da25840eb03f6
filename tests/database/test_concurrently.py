"""Changes to tables in use: whole, repeatable, and in nobody's way."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.support.releases import Release, to_come
from tests.support.revisions import CHECK, INDEX
from tests.support.sql import connected, is_sqlite, query
from tests.support.waiting import eventually

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid::regclass::text ~ 'workers_host_idx'"


def succeed(release: Release, *arguments: str, url: str) -> None:
    done = release(*arguments, url=url)
    assert done.returncode == 0, done.stderr


async def indexes(url: str) -> list[str]:
    if is_sqlite(url):
        found = await query(url, "SELECT name FROM sqlite_master WHERE type = 'index'")
    else:
        found = await query(url, "SELECT indexname FROM pg_indexes WHERE schemaname !~ '^pg'")
    return sorted(name for (name,) in found if not name.endswith(("_pkey", "_1")))


async def fill(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("s", AgentId("writer", "a"))
        await manager.register_agent("t", AgentId("writer", "a"))
        await query(url, "DELETE FROM session_router.session_events WHERE event_id > 2")
        await query(url, "DELETE FROM session_router.agent_streams")
    await repository.close()


async def test_an_index_comes_and_goes(database_url: str, tmp_path: Path) -> None:
    release, before = to_come(tmp_path / "next", INDEX), await indexes(database_url)
    succeed(release, "db", "upgrade", url=database_url)
    assert await indexes(database_url) == sorted([*before, "workers_host_idx"])
    succeed(release, "db", "downgrade", "0001", url=database_url)
    assert await indexes(database_url) == before


async def test_an_invalid_index_of_a_killed_run_is_built_anew(
    postgres_url: str, tmp_path: Path
) -> None:
    workers = "session_router.workers"
    insert = f"INSERT INTO {workers} VALUES (gen_random_uuid(), 'h', 1, now(), now())"
    await query(postgres_url, insert)
    await query(postgres_url, insert)
    with pytest.raises(asyncpg.UniqueViolationError):
        await query(
            postgres_url, f"CREATE UNIQUE INDEX CONCURRENTLY workers_host_idx ON {workers} (host)"
        )
    assert await query(postgres_url, VALID) == [(False,)]

    await query(postgres_url, f"DELETE FROM {workers}")
    succeed(to_come(tmp_path / "next", INDEX), "db", "upgrade", url=postgres_url)
    assert await query(postgres_url, VALID) == [(True,)]


async def test_an_index_waits_for_old_transactions_in_nobodys_way(
    postgres_url: str, tmp_path: Path
) -> None:
    release = to_come(tmp_path / "next", INDEX)
    async with connected(postgres_url) as old, connected(postgres_url) as busy:
        await old.execute("BEGIN")
        await old.execute("UPDATE session_router.workers SET pid = 1")
        # A limit that a host sets must not cut the building short.
        database = make_url(postgres_url).database
        await busy.execute(f"ALTER DATABASE {database} SET statement_timeout = '1s'")
        upgrades = [
            asyncio.create_task(
                asyncio.to_thread(succeed, release, "db", "upgrade", url=postgres_url)
            )
            for _ in range(2)
        ]
        await eventually(lambda: busy.fetchval("SELECT 1 FROM pg_stat_progress_create_index"))
        await asyncio.sleep(2)  # longer than a lock may be waited for, or a statement take
        await busy.execute("SET lock_timeout = '100ms'")
        await busy.execute(
            "INSERT INTO session_router.workers VALUES (gen_random_uuid(), 'h', 1, now(), now())"
        )
        assert not any(upgrade.done() for upgrade in upgrades)
        await old.execute("COMMIT")
        await asyncio.gather(*upgrades)
    assert await query(postgres_url, VALID) == [(True,)]


async def test_a_check_is_replaced_and_all_else_is_kept(database_url: str, tmp_path: Path) -> None:
    await fill(database_url)
    release, before = to_come(tmp_path / "next", CHECK), await indexes(database_url)
    rows = await query(database_url, "SELECT * FROM session_router.session_events")
    insert = (
        "INSERT INTO session_router.session_events (session_id, session_uid, event) "
        "SELECT 's', session_uid, 'dreamt' FROM session_router.sessions LIMIT 1"
    )
    refused = pytest.raises(Exception, match="session_events_event_check")
    with refused:
        await query(database_url, insert)

    succeed(release, "db", "upgrade", url=database_url)
    assert await query(database_url, "SELECT * FROM session_router.session_events") == rows
    assert await indexes(database_url) == before
    await query(database_url, insert)
    newest = "SELECT event_id FROM session_router.session_events WHERE event = 'dreamt'"
    [(event_id,)] = await query(database_url, newest)
    assert event_id > 4  # of rows that are gone, too, no number comes again
    if is_sqlite(database_url):
        with pytest.raises(Exception, match="append-only"):
            await query(database_url, "DELETE FROM session_events")
        await query(database_url, "DROP TRIGGER watch")

    failed = release("db", "downgrade", "0001", url=database_url)
    assert failed.returncode == 1, failed.stderr
    assert "session_events_event_check" in failed.stderr
    await query(database_url, insert)  # the rule that stands is the one of before

    await query(database_url, "DELETE FROM session_router.session_events WHERE event = 'dreamt'")
    succeed(release, "db", "downgrade", "0001", url=database_url)
    with refused:
        await query(database_url, insert)
