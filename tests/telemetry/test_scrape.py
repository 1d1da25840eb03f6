"""`GET /metrics`: who may read it, in which formats, and what is said where nothing is measured."""

import subprocess
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from session_router.access.callers import Callers
from session_router.http import create_app
from session_router.telemetry.metrics import Metrics
from tests.http.conftest import client_of, memory_client


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
def keys(repository: SQLAlchemySessionRepository) -> Keys:
    return Keys(repository.engine)


@pytest.fixture
async def client(
    repository: SQLAlchemySessionRepository, keys: Keys
) -> AsyncIterator[httpx.AsyncClient]:
    async with SessionManager(repository) as manager:
        await manager.register_agent("s", AgentId("writer", "a"))
        metrics = Metrics(manager)
        await metrics.refresh()
        app = create_app(manager, callers=Callers(keys), metrics=metrics)
        async with client_of(app) as client:
            yield client


async def header_of(keys: Keys, scope: str, owner: str | None = None) -> dict[str, str]:
    key = NewKey.of("prometheus", [scope], owner=owner)
    await keys.add(key, None, None)
    return {"Authorization": f"Bearer {key.token}"}


async def test_a_scrape_has_the_metrics_as_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "session_router_sessions_live 1.0\n" in answer.text
    assert 'session_router_streams_live{agent_type="writer"} 1.0\n' in answer.text


async def test_a_scrape_that_prefers_openmetrics_gets_that(client: httpx.AsyncClient) -> None:
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
    answer = await client.get("/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_once_there_are_keys_it_takes_one_to_read(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    reader = await header_of(keys, "read")
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers=reader)).status_code == 200
    operator = await header_of(keys, "operate")
    assert (await client.get("/metrics", headers=operator)).status_code == 403


async def test_a_key_of_one_owner_does_not_see_what_all_do(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    acmes = await header_of(keys, "read", owner="acme")
    answer = await client.get("/metrics", headers=acmes)
    assert answer.status_code == 403
    assert "without an owner" in answer.json()["detail"]


async def test_an_app_without_metrics_names_what_it_takes() -> None:
    async with memory_client() as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 501
    assert answer.json()["type"] == "urn:session-router:problem:not-measured"
    assert "session-router[metrics]" in answer.json()["detail"]


WITHOUT_THE_EXTRA = """
import asyncio, sys
sys.modules["prometheus_client"] = None
from session_router import InMemorySessionRepository, SessionManager
from session_router.http import metrics

async def main():
    async with metrics.measured(SessionManager(InMemorySessionRepository()), None) as measured:
        print(measured)

asyncio.run(main())
"""


def test_the_service_starts_without_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("None\n", "")
