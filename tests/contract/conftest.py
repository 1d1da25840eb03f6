"""One contract over every repository; after each test the conservation laws are checked."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from session_router import SessionManager, SessionRepository
from session_router.runtime import AgentRuntime
from session_router.settings import Tuning
from tests.support.laws import violations


class Managers(Protocol):
    """Makes managers, each one a worker of its own; they are shut down after the test."""

    def __call__(
        self,
        runtime: AgentRuntime | None = None,
        *,
        timeout_minutes: float = 30,
        cleanup_interval_sec: float = 60,
        **tuning: Any,
    ) -> SessionManager: ...


@pytest.fixture
async def repository(repository: SessionRepository) -> AsyncIterator[SessionRepository]:
    yield repository
    assert await violations(repository) == []


@pytest.fixture
async def managers(repository: SessionRepository) -> AsyncIterator[Managers]:
    made: list[SessionManager] = []

    def make(
        runtime: AgentRuntime | None = None,
        *,
        timeout_minutes: float = 30,
        cleanup_interval_sec: float = 60,
        **tuning: Any,
    ) -> SessionManager:
        settings = Tuning(**{"poll_interval_sec": 0.02} | tuning)
        manager = SessionManager(
            repository, runtime, timeout_minutes, cleanup_interval_sec, tuning=settings
        )
        made.append(manager)
        return manager

    yield make
    for manager in made:
        await manager.shutdown()


@pytest.fixture
def manager(managers: Managers) -> SessionManager:
    return managers()
