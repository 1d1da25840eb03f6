"""The database goes first: the release before runs on, through every step up and down."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from session_router import SQLAlchemySessionRepository
from tests.support.databases import PostgresDatabases
from tests.support.laws import violations
from tests.support.releases import Release, released, to_come
from tests.support.revisions import COLUMN, INDEX
from tests.support.sql import connected, is_sqlite, query
from tests.support.waiting import eventually

LOAD = Path(__file__).with_name("load.py")
WAITS = """
    SELECT pid, locktype, mode, relation::regclass::text, clock_timestamp() - waitstart
    FROM pg_locks WHERE waitstart < clock_timestamp() - interval '2 s'
    AND locktype <> 'virtualxid'
"""


@pytest.fixture
def old(tmp_path: Path) -> Release:
    return released("0.1.0", tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Release:
    return to_come(tmp_path / "new", COLUMN, INDEX)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, postgres: PostgresDatabases, tmp_path: Path, old: Release
) -> Iterator[str]:
    """Either database, as the old release made it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/old.db"
        assert old("db", "upgrade", url=url).returncode == 0
        yield url
        return
    with postgres.fresh(empty=True) as url:
        assert old("db", "upgrade", url=url).returncode == 0
        yield url


@asynccontextmanager
async def loaded(release: Release, url: str) -> AsyncIterator[None]:
    """While the block runs, so does a worker of that release; every request of its succeeds."""
    process = await asyncio.create_subprocess_exec(
        *(release.command()[0], LOAD, url),
        cwd=release.folder,
        env=release.environment,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert process.stdout is not None
        where = (await process.stdout.readline()).decode()
        assert where.startswith(str(release.folder)), await _said(process)
        yield
        assert process.stdin is not None
        process.stdin.close()
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        told = json.loads(out)
        assert told["errors"] == []
        assert len(told["answered"]) == 6, told
    except BaseException as error:
        error.add_note(f"the load said: {await _said(process)}")
        raise


async def _said(process: Process) -> str:
    if process.returncode is None:
        process.kill()
    _, err = await process.communicate()
    return err.decode()


@asynccontextmanager
async def nobody_waiting(url: str) -> AsyncIterator[None]:
    """Nobody waits for a lock for longer than 2 s while the block runs."""
    if is_sqlite(url):  # there writers queue for their turn; the load's deadline bounds that
        yield
        return
    waits: list[tuple[object, ...]] = []

    async def look() -> None:
        async with connected(url) as connection:
            while True:
                waits.extend(tuple(row) for row in await connection.fetch(WAITS))
                await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
    assert waits == []


async def move(release: Release, url: str, *command: str) -> None:
    """Migrate, and wait until the load has worked on what came of it."""
    done = await asyncio.to_thread(release, "db", *command, url=url)
    assert done.returncode == 0, done.stderr
    [(before,)] = await query(url, "SELECT max(event_id) FROM session_router.session_events")

    async def has_gone_on() -> bool:
        newest = "SELECT max(event_id) FROM session_router.session_events"
        [(event_id,)] = await query(url, newest)
        return bool(event_id > before + 50)

    await eventually(has_gone_on, within=90)


async def test_the_release_before_runs_on_through_every_step_up_and_down(
    url: str, old: Release, new: Release
) -> None:
    history = json.loads(new("db", "history", "--json", url=url).stdout)
    revisions = [step["revision"] for step in reversed(history)]
    start = json.loads(old("db", "current", "--json", url=url).stdout)["revision"]
    later = revisions[revisions.index(start) + 1 :]
    assert later

    async with nobody_waiting(url), loaded(old, url):
        for revision in later:
            await move(new, url, "upgrade", revision)
        for revision in reversed([start, *later[:-1]]):
            await move(new, url, "downgrade", revision)
        await move(new, url, "upgrade")
        async with loaded(new, url):  # for a while, workers of both run side by side
            await move(new, url, "upgrade")

    # It goes on, but cannot know that it may start again: the release after it can.
    assert old("sessions", "list", url=url).returncode == 4
    check = new("db", "check", url=url)
    assert [line.split(" is ")[0] for line in check.stdout.splitlines()] == [
        "sessions: column mood",
        "workers: index workers_host_idx",
    ]
    repository = SQLAlchemySessionRepository.from_url(url)
    assert await violations(repository) == []
    await repository.close()
