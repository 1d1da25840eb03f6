"""Hooks of either database, with pauses that a test can wait for."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.hooks import Hooks, HookStore

SOON: Final = [timedelta(milliseconds=20)] * 4


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    opened = SQLAlchemySessionRepository.from_url(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def manager(repository: SQLAlchemySessionRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository) as manager:
        yield manager


@pytest.fixture
def store(repository: SQLAlchemySessionRepository) -> HookStore:
    return HookStore(repository.engine)


@pytest.fixture
def hooks(repository: SQLAlchemySessionRepository) -> Hooks:
    return Hooks(repository.engine, pauses=SOON)
