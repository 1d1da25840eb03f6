"""A database that was restored from a dump is the same database; pg_upgrade restores one, too."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.databases import PostgresDatabases
from tests.support.postgres import installed_program
from tests.support.sql import plain, query, run_script

BARE = ("--no-owner", "--no-privileges")


@pytest.fixture
def source(postgres: PostgresDatabases) -> Iterator[str]:
    """A database without tables."""
    with postgres.fresh(empty=True) as url:
        yield url


@pytest.fixture
def restored(postgres: PostgresDatabases) -> Iterator[str]:
    """Another one."""
    with postgres.fresh(empty=True) as url:
        yield url


async def copy(source: str, restored: str, *options: str) -> None:
    command = [str(installed_program("pg_dump")), *options, "-d", plain(source)]
    dump = await asyncio.to_thread(subprocess.check_output, command, text=True)
    await asyncio.to_thread(run_script, restored, dump)


FILL = """
INSERT INTO session_router.sessions (session_id, session_uid, start_time, last_updated)
VALUES ('b', '00000000-0000-0000-0000-00000000000b', now(), now());
INSERT INTO session_router.session_events (session_id, session_uid, event, started_at)
VALUES ('a', '00000000-0000-0000-0000-00000000000a', 'session_started', NULL),
    ('a', '00000000-0000-0000-0000-00000000000a', 'session_ended', now()),
    ('b', '00000000-0000-0000-0000-00000000000b', 'session_started', NULL);
"""
"""What any release could have written: a session that has ended, and one that lives."""


async def use(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        for session in ("a", "b"):
            await manager.register_agent(session, AgentId("writer", "1"))
        await manager.end_session("a")
    await repository.close()


@pytest.mark.parametrize("options", [(), BARE])
@pytest.mark.parametrize("revision", ["0004", "head"])
async def test_the_check_finds_nothing_in_it(
    source: str, restored: str, options: tuple[str, ...], revision: str
) -> None:
    await migrate.upgrade(Target(source), revision)
    run_script(source, FILL)
    await copy(source, restored, *options)
    await migrate.upgrade(Target(restored))
    assert await migrate.check(Target(restored)) == []

    await use(restored)
    assert await query(restored, "SELECT count(*) FROM session_router.report_sessions") == [(3,)]
    await migrate.downgrade(Target(restored), "base")
    assert await migrate.current(Target(restored)) is None


async def test_a_view_that_is_said_differently_is_the_same_and_a_different_one_is_not(
    postgres_url: str,
) -> None:
    target = Target(postgres_url)
    view = "session_router.report_streams"
    [(said,)] = await query(postgres_url, f"SELECT pg_get_viewdef('{view}'::regclass)")
    untyped = said.replace("'stream_finished'::text", "'stream_finished'")
    assert untyped != said
    await query(postgres_url, f"CREATE OR REPLACE VIEW {view} AS {untyped}")
    assert await migrate.check(target) == []

    other = said.replace("'stream_finished'", "'stream_started'")
    assert other != said
    await query(postgres_url, f"CREATE OR REPLACE VIEW {view} AS {other}")
    [difference] = await migrate.check(target)
    assert difference.startswith("report_streams: view differs")
