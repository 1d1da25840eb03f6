"""The console over each database, asked in-process as its own pages ask."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Final

import httpx
import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from session_router.access.callers import Callers
from session_router.http import create_app
from tests.http.conftest import client_of

OURS: Final = {"HX-Request": "true", "Origin": "http://test", "Sec-Fetch-Site": "same-origin"}
"""What a browser sends for the console's own pages."""


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
async def manager(repository: SQLAlchemySessionRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository) as manager:
        yield manager


@pytest.fixture
def keys(repository: SQLAlchemySessionRepository) -> Keys:
    return Keys(repository.engine)


@pytest.fixture
async def client(manager: SessionManager, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of sorts: it keeps cookies."""
    async with client_of(create_app(manager, callers=Callers(keys))) as client:
        yield client


async def key_for(
    keys: Keys,
    scopes: Iterable[str] = ("read", "operate"),
    *,
    owner: str | None = None,
    expires_in: timedelta | None = None,
) -> NewKey:
    key = NewKey.of("Ann on call", scopes, owner)
    await keys.add(key, expires_in, None)
    return key


async def post(
    client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None, **fields: str
) -> httpx.Response:
    """Send a form as a page of ours does."""
    return await client.post(f"/console/{path}", data=fields, headers=OURS | (headers or {}))


async def sign_in(client: httpx.AsyncClient, key: NewKey) -> httpx.Response:
    answer = await post(client, "sign-in", key=key.token)
    assert answer.status_code == 204, answer.text
    return answer
