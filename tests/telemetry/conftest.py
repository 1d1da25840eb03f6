"""A manager over each repository, and its metrics; they look at the database when told to."""

from collections.abc import AsyncIterator

import pytest

from session_router import SessionManager, SessionRepository
from session_router.telemetry.metrics import Metrics
from tests.support.laws import violations


@pytest.fixture
async def manager(repository: SessionRepository) -> AsyncIterator[SessionManager]:
    manager = SessionManager(repository)
    yield manager
    await manager.shutdown()
    assert await violations(repository) == []


@pytest.fixture
async def metrics(manager: SessionManager) -> Metrics:
    """Metrics that have looked once."""
    metrics = Metrics(manager)
    await metrics.refresh()
    return metrics
