"""A repository and a manager in forked processes, and in one event loop after another."""

import asyncio
import gc
import json
import subprocess
import sys
import threading

import pytest

from session_router import (
    AgentId,
    EventLoopError,
    InMemorySessionRepository,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.repository.base import SessionRepository
from tests.support.laws import violations

WRITER = AgentId("writer", "alice")


@pytest.mark.parametrize(("how", "processes"), [("before", 3), ("amid", 2)])
def test_each_process_of_a_fork_is_a_worker_with_connections_of_its_own(
    database_url: str, how: str, processes: int
) -> None:
    command = [sys.executable, "-m", "tests.processes.forking", database_url, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    seen = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({each["worker"] for each in seen}) == processes
    asyncio.run(check_laws(database_url))


async def check_laws(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    assert await violations(repository) == []
    assert await repository.list_workers() == []  # all of them have left
    await repository.close()


def lives(repository: SessionRepository, *, leaves_open: bool) -> list[str]:
    """Three event loops, one after another, over one repository and one manager."""
    manager = SessionManager(repository)

    async def life(*, closes: bool) -> str:
        await manager.start()
        await manager.start_session("s")
        await manager.register_agent("s", WRITER)
        await manager.interrupt_streaming_agents("s")
        worker_id = str(manager.worker_id)
        if closes:
            await manager.shutdown()
            await repository.close()
        return worker_id

    return [
        asyncio.run(life(closes=is_last or not leaves_open)) for is_last in (False, False, True)
    ]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop ended with connections open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # likewise
@pytest.mark.parametrize("leaves_open", [False, True])
def test_one_event_loop_after_another_is_a_worker_of_its_own(
    database_url: str, leaves_open: bool, caplog: pytest.LogCaptureFixture
) -> None:
    workers = lives(SQLAlchemySessionRepository.from_url(database_url), leaves_open=leaves_open)
    assert len(set(workers)) == 3
    gc.collect()  # what the loops left is spoken of here, and not in another test
    assert [record for record in caplog.records if record.name.startswith("sqlalchemy")] == []


def test_memory_serves_one_event_loop_after_another() -> None:
    assert len(set(lives(InMemorySessionRepository(), leaves_open=False))) == 3


def test_two_event_loops_at_the_same_time_are_refused(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    manager = SessionManager(repository)
    refused: list[EventLoopError] = []

    async def from_another_loop() -> None:
        for call in (manager.start(), repository.find_session("s")):
            with pytest.raises(EventLoopError, match="one for each loop") as refusal:
                await call
            refused.append(refusal.value)

    async def life() -> None:
        async with manager:
            other = threading.Thread(target=lambda: asyncio.run(from_another_loop()))
            other.start()
            await asyncio.to_thread(other.join)
            await manager.start_session("s")
        await repository.close()

    asyncio.run(life())
    assert len(refused) == 2
