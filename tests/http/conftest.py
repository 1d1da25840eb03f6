"""The app over each repository, asked in-process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp

from session_router import InMemorySessionRepository, SessionManager, SessionRepository
from session_router.http import create_app
from tests.support.laws import violations


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")


@asynccontextmanager
async def memory_client() -> AsyncIterator[httpx.AsyncClient]:
    """An app over a repository of its own, for what the repository makes no difference to."""
    async with (
        SessionManager(InMemorySessionRepository()) as manager,
        client_of(create_app(manager)) as client,
    ):
        yield client


@pytest.fixture
async def manager(repository: SessionRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository) as manager:
        yield manager
    assert await violations(repository) == []


@pytest.fixture
async def client(manager: SessionManager) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(manager)) as client:
        yield client


@pytest.fixture
async def memory() -> AsyncIterator[httpx.AsyncClient]:
    async with memory_client() as client:
        yield client
