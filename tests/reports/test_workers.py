"""Workers that are gone are known: where they ran, of which version, and how they went."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.audit.keys import NO_KEYS
from session_router.audit.retention import prune
from session_router.audit.trail import Trail
from tests.cli.program import Program
from tests.support.releases import released
from tests.support.sql import is_sqlite, query

WRITER = AgentId("writer", "a")
DELETES = """
import asyncio, sys
from datetime import timedelta
from uuid import UUID
from session_router import SQLAlchemySessionRepository


async def main():
    repository = SQLAlchemySessionRepository.from_url(sys.argv[1])
    await repository.remove_worker(UUID(sys.argv[2]))
    await repository.reap_workers(timedelta(seconds=30), thorough=False)
    await repository.close()


asyncio.run(main())
"""


@pytest.fixture
def program(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    return program


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    yield repository
    await repository.close()


async def report(program: Program, name: str, *options: str) -> list[dict[str, Any]]:
    done = await program.call("report", name, *options, "--format", "json")
    assert done.code == 0, done.err
    return done.json_lines


async def reap(repository: SQLAlchemySessionRepository, worker_id: UUID) -> None:
    await repository.reap_workers({worker_id: (await repository.heartbeats())[worker_id]})


async def test_a_worker_is_told_while_it_lives_and_after_it_has_stopped(
    program: Program, repository: SQLAlchemySessionRepository
) -> None:
    async with SessionManager(repository) as manager:
        await manager.register_agent("chat", WRITER)
        (live,) = await report(program, "workers")
        assert live["version"] == version("session-router")
        assert (live["ended_at"], live["how"]) == (None, None)
    (gone,) = await report(program, "workers")
    assert {name: gone[name] for name in ("worker_id", "host", "pid", "version", "started_at")} == {
        name: live[name] for name in ("worker_id", "host", "pid", "version", "started_at")
    }
    assert gone["how"] == "stopped"
    assert gone["ended_at"] > gone["started_at"]


async def test_a_worker_that_was_reaped_is_told_as_lost_with_the_streams_that_it_had(
    program: Program, repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    await repository.add_worker(dead := uuid4(), "host-1", 17, version="1.2.3")
    manager = SessionManager(repository)
    await manager.register_agent("chat", WRITER)
    await query(database_url, f"UPDATE session_router.agent_streams SET worker_id = '{dead}'")
    await reap(repository, dead)

    told = {row["worker_id"]: row for row in await report(program, "workers")}
    assert (told[str(dead)]["how"], told[str(dead)]["pid"]) == ("lost", 17)
    (stream,) = await report(program, "streams")
    assert (stream["outcome"], stream["worker_host"]) == ("worker_lost", "host-1")
    assert stream["worker_version"] == "1.2.3"
    await manager.shutdown()


async def test_a_stream_tells_why_it_failed_and_where_it_streams(
    program: Program, repository: SQLAlchemySessionRepository
) -> None:
    async def source() -> Any:
        yield "a word"
        raise RuntimeError("no more ink")

    async with SessionManager(repository) as manager:
        stream = manager.stream("chat", WRITER, source())
        assert await anext(stream) == "a word"
        (live,) = await report(program, "streams")
        with pytest.raises(RuntimeError):
            await anext(stream)
        (over,) = await report(program, "streams")
        (worker,) = await report(program, "workers")
    assert "no more ink" in over["detail"]
    assert over["worker_host"] == live["worker_host"] == worker["host"]


async def test_what_the_release_before_takes_out_is_kept_as_it_went(
    program: Program,
    repository: SQLAlchemySessionRepository,
    database_url: str,
    tmp_path: Path,
) -> None:
    """That one notes nothing: the age of the last heartbeat tells."""
    await repository.add_worker(stops := uuid4(), "host", 1)
    await repository.add_worker(dies := uuid4(), "host", 2)
    heard = datetime.now(UTC) - timedelta(seconds=60)
    shown = heard.strftime("%Y-%m-%d %H:%M:%S.%f") + ("" if is_sqlite(database_url) else "+00")
    await query(
        database_url,
        f"UPDATE session_router.workers SET heartbeat_at = '{shown}' WHERE worker_id = '{dies}'",
    )
    old = released("0.1.0", tmp_path / "old")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DELETES, database_url, str(stops)),
        cwd=old.folder,
        env=old.environment,
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0

    how = {row["worker_id"]: row["how"] for row in await report(program, "workers")}
    assert how == {str(stops): "stopped", str(dies): "lost"}


async def test_workers_are_forgotten_with_the_trail(
    program: Program, repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    for _ in range(2):
        async with SessionManager(repository) as manager:
            await manager.register_agent("chat", WRITER)
    first, second = await report(program, "workers")
    async with Trail.opened(database_url) as trail:
        await prune(trail, datetime.fromisoformat(second["started_at"]), NO_KEYS)
    assert await report(program, "workers") == [second]
    assert first["ended_at"] <= second["started_at"]


async def test_losses_of_a_version_are_one_query(
    program: Program, repository: SQLAlchemySessionRepository, database_url: str
) -> None:
    for of, lost in (("1.0", 1), ("1.1", 2)):
        for number in range(3):
            await repository.add_worker(worker_id := uuid4(), "host", number, version=of)
            if number < lost:
                await reap(repository, worker_id)
            else:
                await repository.remove_worker(worker_id)
    found = await query(
        database_url,
        "SELECT version, count(*) AS workers, count(*) FILTER (WHERE how = 'lost') AS lost "
        "FROM session_router.report_workers GROUP BY version ORDER BY version",
    )
    assert [tuple(row) for row in found] == [("1.0", 3, 1), ("1.1", 3, 2)]
