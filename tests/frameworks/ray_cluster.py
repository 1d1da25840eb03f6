"""Agents in Ray's actors are stopped from here, where there is no Ray, or lost with their actor.

`make frameworks` runs it, by its path.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from tests.frameworks.catalogue import chosen
from tests.frameworks.ray_settings import SESSION, TUNING
from tests.support.processes import PythonProcess
from tests.support.sql import query
from tests.support.trail import events
from tests.support.waiting import eventually

(RAY,) = chosen("ray")
START_WITHIN_SEC = 180
LOST_WITHIN_SEC = 60


@asynccontextmanager
async def two_actors(database_url: str) -> AsyncIterator[PythonProcess]:
    """A driver whose actors both stream."""
    assert RAY.python.exists(), "ray has no environment; 'make frameworks' makes it"
    host = ("-m", "tests.frameworks.agents.ray_host", database_url)
    async with PythonProcess.started(*host, python=RAY.python) as driver:
        first = {await driver.line(within=START_WITHIN_SEC) for _ in range(2)}
        assert first == {"writer/a streams", "writer/b streams"}
        yield driver


@asynccontextmanager
async def here(database_url: str) -> AsyncIterator[SessionManager]:
    """A worker that has no agents, and reaps those that die."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    try:
        async with SessionManager(repository, tuning=TUNING) as manager:
            yield manager
    finally:
        await repository.close()


async def processes(database_url: str) -> dict[str, int]:
    """Which process each agent streams in."""
    rows = await query(
        database_url,
        "SELECT agent_key, pid FROM session_router.agent_streams"
        " JOIN session_router.workers USING (worker_id)",
    )
    return dict(rows)


async def stop(manager: SessionManager) -> dict[str, str]:
    receipts = await manager.interrupt_streaming_agents(SESSION, actor="ann", wait=20)
    return {str(agent): str(outcome) for agent, outcome in receipts.items()}


async def last_words(driver: PythonProcess) -> set[str]:
    """What the driver says of each agent, at its good end; Ray may have its say there, too."""
    await driver.tell("")
    said = (await driver.result()).splitlines()
    return {line for line in said if line.startswith("writer/")}


async def outcomes(manager: SessionManager) -> dict[str, str | None]:
    finished = await events(manager.repository, "stream_finished")
    return {str(event.agent_id): event.outcome for event in finished}


async def test_one_call_stops_actors_in_processes_of_their_own(database_url: str) -> None:
    async with two_actors(database_url) as driver, here(database_url) as manager:
        pids = await processes(database_url)
        assert len({*pids.values(), driver.pid, os.getpid()}) == 4
        assert await stop(manager) == {"writer/a": "delivered", "writer/b": "delivered"}
        assert await last_words(driver) == {"writer/a was interrupted", "writer/b was interrupted"}
        assert driver.said() == ""
        assert not await query(database_url, "SELECT * FROM session_router.agent_streams")


@pytest.mark.parametrize(
    ("order", "outcome", "error"),
    [
        ("SIGKILL", "worker_lost", "ActorDiedError"),
        ("ray.kill", "worker_lost", "ActorDiedError"),
        ("ray.cancel", "abandoned", "RayTaskError(TaskCancelledError)"),
    ],
)
async def test_an_actor_that_ends_otherwise_leaves_the_others_alone(
    order: str, outcome: str, error: str, sqlite_url: str
) -> None:
    async with two_actors(sqlite_url) as driver, here(sqlite_url) as manager:
        if order == "SIGKILL":
            os.kill((await processes(sqlite_url))["a"], signal.SIGKILL)
        else:
            await driver.tell(f"{order} a")

        async def is_told() -> bool:
            return await outcomes(manager) == {"writer/a": outcome}

        await eventually(is_told, within=LOST_WITHIN_SEC)
        assert await stop(manager) == {"writer/b": "delivered"}
        assert await last_words(driver) == {f"writer/a {error}", "writer/b was interrupted"}
