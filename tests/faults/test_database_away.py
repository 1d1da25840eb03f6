"""A database that goes away, comes back, hangs, or holds a row: on a server of the tests' own."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    DeadlineExceededError,
    Session,
    SessionManager,
    SessionRouterError,
    SQLAlchemySessionRepository,
)
from session_router.database.migrate import Target, upgrade
from session_router.settings import Tuning
from tests.support.databases import run
from tests.support.laws import violations
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.waiting import eventually

WRITER = AgentId("writer", "alice")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        run(upgrade(Target(server.url())))
        yield server


@pytest.fixture
async def repository(server: PostgresServer) -> AsyncIterator[SQLAlchemySessionRepository]:
    repository = SQLAlchemySessionRepository.from_url(server.url())
    yield repository
    await repository.close()


async def until_answered(manager: SessionManager, session_id: str) -> Session | None:
    """What `get_session` says once the database answers again."""

    async def answers() -> list[Session | None]:
        with suppress(SessionRouterError):
            return [await manager.get_session(session_id)]
        return []

    return (await eventually(answers, within=60))[0]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_database_loses_nothing_that_was_acknowledged(
    server: PostgresServer, repository: SQLAlchemySessionRepository, mode: str
) -> None:
    session_id = f"restart-{mode}"
    async with SessionManager(repository, cleanup_interval_sec=0.1) as manager:
        stream_id = await manager.register_agent(session_id, WRITER)
        server.stop(mode)  # type: ignore[arg-type]
        with pytest.raises(DatabaseUnavailableError) as refusal:
            await manager.start_session("while-away")
        assert PASSWORD not in str(refusal.value)
        server.start()
        session = await until_answered(manager, session_id)
        assert session is not None
        assert session.agents_streaming == {WRITER}
        assert await manager.register_agent(session_id, WRITER) == stream_id
        # The sweep, too, goes on by itself.
        idle = Session(session_id="idle", last_updated=datetime.now(UTC) - timedelta(days=1))
        await repository.save_session(idle)

        async def is_swept() -> bool:
            return await repository.find_session("idle") is None

        await eventually(is_swept, within=60)
    assert await violations(repository) == []


async def test_a_server_that_stops_answering_costs_the_deadline_and_the_pool_recovers(
    server: PostgresServer,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(server.url(), deadline_sec=0.5)
    manager = SessionManager(repository)
    await manager.start_session("s")
    connection = await asyncpg.connect(server.url().replace("+asyncpg", ""))
    backends = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    pids = [server.pid, *(row["pid"] for row in backends)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        calls = [manager.get_session("s") for _ in range(20)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert all(isinstance(answer, DeadlineExceededError) for answer in answers), answers
    assert "unknown" in str(answers[0])
    assert await until_answered(manager, "s") is not None
    await connection.close()
    await repository.close()


async def test_a_row_that_somebody_holds_delays_only_its_own_callers(
    server: PostgresServer,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(server.url(), deadline_sec=1)
    manager = SessionManager(repository, tuning=Tuning(touch_resolution_sec=0))  # touches write
    await manager.start_session("held")
    await manager.start_session("free")
    connection = await asyncpg.connect(server.url().replace("+asyncpg", ""))
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM session_router.sessions WHERE session_id = 'held' FOR UPDATE"
        )
        # More callers than the pool has connections.
        waiting = asyncio.gather(
            *(manager.get_session("held") for _ in range(100)), return_exceptions=True
        )
        begun = time.monotonic()
        while time.monotonic() - begun < 0.5:
            assert await manager.get_session("free") is not None
        assert not waiting.done()
        assert all(isinstance(answer, DeadlineExceededError) for answer in await waiting)
    assert await manager.get_session("held") is not None
    await connection.close()
    await repository.close()


async def test_an_unreachable_database_is_told_of_without_its_password() -> None:
    repository = SQLAlchemySessionRepository.from_url(f"postgresql://u:{PASSWORD}@127.0.0.1:1/db")
    with pytest.raises(DatabaseUnavailableError) as refusal:
        await SessionManager(repository).start()
    assert PASSWORD not in str(refusal.value)
    assert "127.0.0.1" in str(refusal.value)
    await repository.close()


async def test_a_wrong_password_is_told_of_without_it(server: PostgresServer) -> None:
    url = server.url().replace(PASSWORD, "wr0ng-pw")
    repository = SQLAlchemySessionRepository.from_url(url)
    with pytest.raises(DatabaseUnavailableError) as refusal:
        await SessionManager(repository).start()
    assert "wr0ng-pw" not in str(refusal.value)
    await repository.close()
