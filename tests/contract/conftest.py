"""One contract over every repository; after each test the conservation laws are checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from session_router import SessionManager, SessionRepository
from session_router.client import connect
from session_router.runtime import AgentRuntime
from session_router.settings import Tuning
from tests.client.served import ServedRepository, served
from tests.conftest import repository_named
from tests.contract.over_http import skip_where_it_cannot_apply
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where managers are made for the test, they work over HTTP, too."""
    if "repository" in metafunc.fixturenames:
        over_http = ["http"] if "managers" in metafunc.fixturenames else []
        metafunc.parametrize(
            "repository", ["memory", "sqlite", "postgresql", *over_http], indirect=True
        )


@pytest.fixture
async def repository(request: pytest.FixtureRequest) -> AsyncIterator[SessionRepository]:
    """Each of the repositories; over HTTP, the service's."""
    async with _opened(request) as opened:
        yield opened
        assert await violations(opened) == []


@asynccontextmanager
async def _opened(request: pytest.FixtureRequest) -> AsyncIterator[SessionRepository]:
    if request.param == "http":
        skip_where_it_cannot_apply(request)
        async with served() as repository:
            yield repository
        return
    async with repository_named(request.param, request) as repository:
        yield repository


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
        if isinstance(repository, ServedRepository):
            manager: SessionManager = connect(
                repository.url,
                agent_runtime=runtime,
                session_timeout_minutes=timeout_minutes,
                tuning=settings,
            )
        else:
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
