"""What the express answers is what FastAPI would have answered."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router import AgentId, InMemorySessionRepository, SessionManager
from session_router.access import Keys, NewKey
from session_router.access.callers import Callers
from session_router.http import create_app
from session_router.repository import SQLAlchemySessionRepository
from session_router.settings import Tuning
from tests.http.conftest import client_of
from tests.http.ids import HOSTILE_IDS, encoded

PLAIN = [("GET", ""), ("PUT", ""), ("POST", "/touch")]


class Around:
    """A layer that a host puts around the app; with it FastAPI answers everything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["around"] = True
        await self.app(scope, receive, send)


@asynccontextmanager
async def both_ways(make: Callable[[], FastAPI]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of an app, and of one where FastAPI answers everything."""
    other = make()
    other.add_middleware(Around)
    async with client_of(make()) as express, client_of(other) as fastapi:
        yield [express, fastapi]


async def assert_same(
    clients: list[httpx.AsyncClient], method: str, path: str, **given: Any
) -> httpx.Response:
    headers = {"X-Request-Id": "same", **given.pop("headers", {})}
    first, second = [
        await client.request(method, path, headers=headers, **given) for client in clients
    ]
    assert first.content == second.content
    assert (first.status_code, sorted(first.headers.multi_items())) == (
        second.status_code,
        sorted(second.headers.multi_items()),
    )
    return first


@pytest.fixture
async def clients() -> AsyncIterator[list[httpx.AsyncClient]]:
    # Of two touches within the resolution, the second one changes no time.
    seldom = SessionManager(InMemorySessionRepository(), tuning=Tuning(touch_resolution_sec=600))
    async with seldom as manager, both_ways(lambda: create_app(manager)) as both:
        yield both


@pytest.mark.parametrize(("method", "below"), PLAIN)
async def test_the_answer_is_the_same_to_the_byte(
    clients: list[httpx.AsyncClient], method: str, below: str
) -> None:
    for name in [*HOSTILE_IDS, "", "x" * 256, "%", "%ff"]:
        path = f"/sessions/{name if name.startswith('%') else encoded(name)}"
        registered = await clients[0].put(f"{path}/agents/writer/{encoded('ann/1')}")
        answer = await assert_same(clients, method, path + below)
        assert answer.status_code == (200 if registered.is_success else 400)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/sessions/chat?any=1", {}),
        ("/sessions/chat", {"Origin": "http://evil.example"}),
        ("/sessions/chat", {f"X-{n}": "x" for n in range(120)}),
        ("/sessions/chat/", {}),
        ("/sessions/a/b", {}),
    ],
)
async def test_what_is_not_plain_is_answered_as_ever(
    clients: list[httpx.AsyncClient], path: str, headers: dict[str, str]
) -> None:
    for method in ("GET", "PUT", "HEAD", "PATCH"):
        await assert_same(clients, method, path, headers=headers)
    await assert_same(clients, "PUT", path, content=b"{}", headers=headers)


async def test_agents_are_shown_the_same_where_the_app_is_mounted(manager: SessionManager) -> None:
    await manager.register_agent("a/b", AgentId("writer", "ann/1"))
    async with both_ways(lambda: create_app(manager)) as both:
        mounted = [
            client_of(Starlette(routes=[Mount("/api", client._transport.app)]))  # type: ignore[attr-defined]
            for client in both
        ]
        for path in ("/api/sessions/a%2Fb", "/api/sessions/nobody"):
            answer = await assert_same(mounted, "GET", path)
            assert answer.status_code == (200 if "%2F" in path else 404)


async def test_keys_are_asked_for_the_same(sqlite_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    keys = Keys(repository.engine)
    reader = NewKey.of("reader", ["read"])
    await keys.add(reader, None, None)
    async with (
        SessionManager(repository) as manager,
        both_ways(lambda: create_app(manager, callers=Callers(keys))) as both,
    ):
        for given in ("", "Bearer", f"bearer  {reader.token}", f"Basic {reader.token}", "Bearer x"):
            for method, below in PLAIN:
                headers = {"Authorization": given} if given else {}
                answer = await assert_same(both, method, f"/sessions/s{below}", headers=headers)
                is_reader = given.startswith("bearer")
                expected = (404 if method == "GET" else 403) if is_reader else 401
                assert answer.status_code == expected
    await repository.close()


async def test_heartbeats_are_answered_the_same(sqlite_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    keys = Keys(repository.engine)
    agent, other, reader = (
        NewKey.of(name, [scope]) for name, scope in (("a", "agent"), ("b", "agent"), ("c", "read"))
    )
    for key in (agent, other, reader):
        await keys.add(key, None, None)
    async with (
        SessionManager(repository) as manager,
        both_ways(lambda: create_app(manager, callers=Callers(keys))) as both,
    ):
        headers = {"Authorization": f"Bearer {agent.token}"}
        worker_id = (await both[0].post("/workers", headers=headers)).json()["worker_id"]
        for key, status in ((agent, 204), (other, 403), (reader, 403)):
            headers = {"Authorization": f"Bearer {key.token}"}
            path = f"/workers/{worker_id}/heartbeat"
            answer = await assert_same(both, "POST", path, headers=headers)
            assert answer.status_code == status
        headers = {"Authorization": f"Bearer {agent.token}"}
        for worker, status in (
            (worker_id.upper(), 204),
            (worker_id.replace("-", ""), 204),
            ("", 404),
            ("7", 422),
            ("%ff", 422),
            (uuid4(), 410),
        ):
            path = f"/workers/{worker}/heartbeat"
            answer = await assert_same(both, "POST", path, headers=headers)
            assert answer.status_code == status
            await assert_same(both, "POST", path, headers=headers, content=b"{}")
            await assert_same(both, "POST", path)
            await assert_same(both, "GET", path, headers=headers)
    await repository.close()


async def test_a_hosts_own_layers_see_every_request() -> None:
    seen: list[str] = []

    class Sees(Around):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["path"])
            await super().__call__(scope, receive, send)

    async with SessionManager(InMemorySessionRepository()) as manager:
        app = create_app(manager)
        app.add_middleware(Sees)
        async with client_of(app) as client:
            assert (await client.put("/sessions/chat")).status_code == 200
    assert seen == ["/sessions/chat"]
