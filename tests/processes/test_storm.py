"""Several processes, many tasks, the same ids: one truth."""

import json
import os
import signal
from contextlib import AsyncExitStack
from typing import Any

from session_router import SessionRepository, SQLAlchemySessionRepository
from session_router.events import EventName
from tests.support.laws import contents, violations
from tests.support.processes import PythonProcess
from tests.support.waiting import eventually

SECONDS = 3


async def storm(
    stack: AsyncExitStack, url: str, processes: int, seconds: float = SECONDS
) -> list[PythonProcess]:
    """Start the processes and return when all of them are at it."""
    started = [
        await stack.enter_async_context(
            PythonProcess.running("tests.processes.storm", url, str(seed), str(seconds))
        )
        for seed in range(processes)
    ]
    for process in started:
        assert await process.line() == "ready"
    return started


async def results(processes: list[PythonProcess]) -> list[dict[str, Any]]:
    return [json.loads(await process.result()) for process in processes]


async def opened(repository: SessionRepository) -> set[str]:
    events = (await contents(repository)).events
    return {str(e.stream_id) for e in events if e.event is EventName.STREAM_STARTED}


async def test_two_processes_leave_a_trail_in_which_the_laws_hold(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        said = await results(await storm(stack, database_url, processes=2))
    repository = SQLAlchemySessionRepository.from_url(database_url)
    assert await violations(repository) == []
    # No lost update: what was acknowledged in either process is there, and nothing else.
    assert await opened(repository) == {i for result in said for i in result["opened"]}
    await repository.close()


async def test_a_process_killed_in_the_middle_leaves_the_laws_intact(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with AsyncExitStack() as stack:
        killed, survivor = await storm(stack, database_url, processes=2, seconds=60)

        async def is_in_the_middle() -> bool:
            return len(await opened(repository)) >= 50

        await eventually(is_in_the_middle, within=120)
        os.kill(killed.pid, signal.SIGKILL)
        assert await violations(repository) == []
        before = len(await opened(repository))

        async def goes_on() -> bool:
            return len(await opened(repository)) >= before + 50

        await eventually(goes_on, within=120)
        await survivor.tell("end")
        [said] = await results([survivor])
    assert await violations(repository) == []
    assert set(said["opened"]) <= await opened(repository)
    await repository.close()


async def test_many_that_start_one_session_in_two_processes_make_one(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with AsyncExitStack() as stack:
        starters = [
            await stack.enter_async_context(
                PythonProcess.running("tests.processes.starters", database_url, "50")
            )
            for _ in range(2)
        ]
        for starter in starters:
            await starter.result()
    events = (await contents(repository)).events
    started = [e.session_id for e in events if e.event is EventName.SESSION_STARTED]
    assert sorted(started) == sorted(f"s{n}" for n in range(50))
    assert await violations(repository) == []
    await repository.close()


async def test_four_processes_write_one_sqlite_file_in_fair_turns(sqlite_url: str) -> None:
    async with AsyncExitStack() as stack:
        processes = await storm(stack, sqlite_url, processes=4, seconds=10)
        said = await results(processes)  # an error, 'database is locked' included, fails this
    shares = [sum(result["counts"].values()) for result in said]
    assert min(shares) > sum(shares) / len(shares) / 4, shares
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    assert await violations(repository) == []
    await repository.close()
