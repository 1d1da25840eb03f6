"""Changes to tables in use: whole, repeatable, and in nobody's way."""

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from session_router import AgentId, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.repository.changes import Register
from session_router.repository.records import Requester
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
    """Leave a signal that nobody settles."""
    repository = SQLAlchemySessionRepository.from_url(url)
    worker_id = uuid4()
    await repository.add_worker(worker_id, "elsewhere", 1)
    await repository.register_stream(
        Register("s", AgentId("writer", "a"), worker_id, uuid4(), renew=False)
    )
    await repository.interrupt_streams("s", None, Requester())
    await repository.close()


async def test_an_index_comes_and_goes(database_url: str, tmp_path: Path) -> None:
    release, before = to_come(tmp_path / "next", INDEX), await indexes(database_url)
    succeed(release, "db", "upgrade", url=database_url)
    assert await indexes(database_url) == sorted([*before, "workers_host_idx"])
    succeed(release, "db", "downgrade", migrate.head(), url=database_url)
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
    signals = "SELECT * FROM session_router.interrupt_signals WHERE action <> 'dream'"
    rows = await query(database_url, signals)
    assert len(rows) == 1
    insert = f"""
        INSERT INTO session_router.interrupt_signals
        SELECT '{uuid4()}', worker_id, request_id, session_id, session_uid, agent_type, agent_key,
            stream_id, 'dream', requested_at
        FROM session_router.interrupt_signals LIMIT 1
    """
    refused = pytest.raises(Exception, match="interrupt_signals_action_check")
    with refused:
        await query(database_url, insert)

    succeed(release, "db", "upgrade", url=database_url)
    assert await query(database_url, signals) == rows
    assert await indexes(database_url) == before
    await query(database_url, insert)
    if is_sqlite(database_url):
        with pytest.raises(Exception, match="watched"):
            await query(database_url, "DELETE FROM interrupt_signals")
        await query(database_url, "DROP TRIGGER watch")

    failed = release("db", "downgrade", migrate.head(), url=database_url)
    assert failed.returncode == 1, failed.stderr
    assert "interrupt_signals_action_check" in failed.stderr
    dreams = "SELECT count(*) FROM session_router.interrupt_signals WHERE action = 'dream'"
    assert await query(database_url, dreams) == [(1,)]  # the rule that stands is the one before

    await query(database_url, "DELETE FROM session_router.interrupt_signals WHERE action = 'dream'")
    succeed(release, "db", "downgrade", migrate.head(), url=database_url)
    with refused:
        await query(database_url, insert)
