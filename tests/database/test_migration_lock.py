"""Migrations that meet somebody's lock: they step back, try again, and tell who has it."""

import asyncio

import pytest

from session_router import DatabaseError
from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.database.migration import lock as migration_turns
from tests.support.sql import connected
from tests.support.waiting import eventually

READING = "SELECT * FROM session_router.sessions"
TOUCH = "UPDATE session_router.sessions SET last_updated = last_updated"


async def test_who_waits_behind_a_revision_goes_on_and_the_revision_comes_through(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = Target(postgres_url)
    await migrate.downgrade(target, "0008")  # the one above waits for readers to drop an index
    async with connected(postgres_url) as reader, connected(postgres_url) as worker:
        await reader.execute("BEGIN")
        await reader.execute(READING)
        down = asyncio.create_task(migrate.downgrade(target, "base"))
        await eventually(lambda: "migration_waits" in caplog.text)
        await worker.execute("SET lock_timeout = '2s'")
        for _ in range(5):  # whether behind the revision in the queue or in one of its pauses
            await worker.execute(TOUCH)
            await asyncio.sleep(0.3)
        assert not down.done()
        await reader.execute("COMMIT")
        await down
    assert await migrate.current(target) is None


async def test_a_revision_that_comes_to_nothing_names_who_is_in_its_way(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_turns, "PATIENCE_SEC", 1)
    target = Target(postgres_url)
    await migrate.downgrade(target, "0008")
    async with connected(postgres_url) as reader:
        await reader.execute("SET application_name = 'a report'")
        await reader.execute("BEGIN")
        await reader.execute(READING)
        pid = reader.get_server_pid()
        with pytest.raises(DatabaseError, match=f"process {pid}, postgres, a report, idle in tr"):
            await migrate.downgrade(target, "base")
    # Those above the first needed no lock that a reader stands in the way of.
    assert await migrate.current(target) == "0001"
    await migrate.upgrade(target)
    assert await migrate.check(target) == []
