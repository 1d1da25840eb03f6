"""A migration that is killed halfway can be run again."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from session_router.database import migrate
from tests.support.releases import Release, to_come
from tests.support.revisions import INDEX
from tests.support.sql import connected, described, query
from tests.support.waiting import eventually

TWO_STEPS = """
def upgrade():
    schema = op.get_context().version_table_schema
    {first}
    {halfway}
    op.add_column("sessions", sa.Column("mood", sa.Text()), schema=schema)


def downgrade():
    schema = op.get_context().version_table_schema
    drop_index("sessions_start_time_idx", "sessions")
    op.drop_column("sessions", "mood", schema=schema)
"""
STEPS = {
    "in one transaction": "op.execute(f\"CREATE TABLE {schema or 'main'}.moods (mood TEXT)\")",
    "in steps": 'create_index("sessions_start_time_idx", "sessions", ["start_time"])',
}
HALFWAY = 'print("halfway", flush=True); import time; time.sleep(600)'


@asynccontextmanager
async def upgrading(release: Release, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *release.command("db", "upgrade"),
        cwd=release.folder,
        env={**release.environment, "SESSION_ROUTER_DATABASE_URL": url},
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.communicate()


@pytest.mark.parametrize("first", STEPS.values(), ids=STEPS)
async def test_a_revision_killed_halfway_can_be_run_again(
    database_url: str, tmp_path: Path, first: str
) -> None:
    halting = to_come(tmp_path / "halting", TWO_STEPS.format(first=first, halfway=HALFWAY))
    whole = to_come(tmp_path / "whole", TWO_STEPS.format(first=first, halfway=""))

    async with upgrading(halting, database_url) as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"halfway\n"
        process.kill()
    assert await migrate.current(migrate.Target(database_url)) == migrate.head()

    done = await asyncio.to_thread(whole, "db", "upgrade", url=database_url)
    assert done.returncode == 0, done.stderr
    there = await described(database_url)
    assert "mood" in there
    assert "moods" in there or "sessions_start_time_idx" in there


async def test_a_run_killed_while_it_builds_an_index_can_be_run_again(
    postgres_url: str, tmp_path: Path
) -> None:
    release = to_come(tmp_path / "next", INDEX)
    async with connected(postgres_url) as old, connected(postgres_url) as watch:
        await old.execute("BEGIN")
        await old.execute("UPDATE session_router.workers SET pid = 1")
        async with upgrading(release, postgres_url) as process:
            await eventually(lambda: watch.fetchval("SELECT 1 FROM pg_stat_progress_create_index"))
            process.kill()
        # The server has not noticed, and goes on building; the next run waits for its turn.
        again = asyncio.create_task(asyncio.to_thread(release, "db", "upgrade", url=postgres_url))
        await old.execute("COMMIT")
        done = await again
    assert done.returncode == 0, done.stderr
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid::regclass::text ~ 'workers_host_idx'"
    assert await query(postgres_url, valid) == [(True,)]
