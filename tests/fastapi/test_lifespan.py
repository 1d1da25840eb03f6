"""The lifespan: what it starts, what it hears, what it leaves behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from session_router import (
    AgentId,
    InMemorySessionRepository,
    InvalidValueError,
    SessionManager,
    SQLAlchemySessionRepository,
    WorkerGoneError,
)
from session_router.fastapi import PROBLEM_HANDLERS, AgentStreamResponse, lifespan, session_manager
from tests.fastapi.events import Events
from tests.support.trail import story
from tests.support.waiting import eventually

WRITER = AgentId("writer", "a")


async def waiting() -> AsyncIterator[str]:
    yield "thinking"
    await asyncio.Event().wait()


async def words() -> AsyncIterator[str]:
    yield "word"


async def chat(request: Request) -> Response:
    manager = await session_manager(request)
    return AgentStreamResponse(manager.stream(request.path_params["id"], WRITER, words))


async def workers(request: Request) -> Response:
    manager = await session_manager(request)
    found = await manager.repository.list_workers()
    return JSONResponse([str(worker.worker_id) for worker in found])


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    manager = await session_manager(websocket)
    await manager.start_session("\0")


def app_of(lifespan: Any) -> Starlette:
    routes = [
        Route("/chat/{id:path}", chat, methods=["POST"]),
        Route("/workers", workers),
        WebSocketRoute("/socket", socket),
    ]
    inner = Mount("/inner", Starlette(routes=routes, exception_handlers=PROBLEM_HANDLERS))
    return Starlette(
        routes=[*routes, inner], lifespan=lifespan, exception_handlers=PROBLEM_HANDLERS
    )


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What the server's own handler hears, which is there before the lifespan."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[ASGIApp]:
    """The app within its lifespan, whose state a server hands to each request."""
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {**(state or {})}}, receive, send)

        yield with_state


@asynccontextmanager
async def client_of(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        served(app) as serving,
        httpx.AsyncClient(transport=httpx.ASGITransport(serving), base_url="http://test") as client,
    ):
        yield client


@pytest.mark.parametrize("path", ["/chat/1", "/inner/chat/1"])
async def test_routes_have_the_manager_also_in_a_mounted_application(path: str) -> None:
    async with client_of(app_of(lifespan(SessionManager(InMemorySessionRepository())))) as client:
        answer = Events((await client.post(path)).text)
    assert answer.data == ["word"]
    assert answer.end == ("completed", "completed")


async def test_the_manager_has_started_and_leaves_with_the_application(sqlite_url: str) -> None:
    manager = SessionManager(SQLAlchemySessionRepository.from_url(sqlite_url))
    for _ in range(2):  # and may begin again
        async with client_of(app_of(lifespan(manager))) as client:
            assert (await client.get("/workers")).json() == [str(manager.worker_id)]
    assert await manager.repository.list_workers() == []
    await manager.repository.close()


def test_in_another_thread_it_serves_all_the_same() -> None:
    async def ask() -> Events:
        manager = SessionManager(InMemorySessionRepository())
        async with client_of(app_of(lifespan(manager))) as client:
            return Events((await client.post("/chat/1")).text)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, ask()).result().end == ("completed", "completed")


async def test_a_lifespan_of_ones_own_takes_it_in() -> None:
    manager = SessionManager(InMemorySessionRepository())
    steps = []

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with lifespan(manager)(app) as state:
            steps.append("up")
            yield {**state, "own": 1}
        steps.append("down")

    async with client_of(app_of(own)) as client:
        assert Events((await client.post("/chat/1")).text).end == ("completed", "completed")
    assert steps == ["up", "down"]


async def test_a_bad_id_is_answered_with_a_problem_document() -> None:
    async with client_of(app_of(lifespan(SessionManager(InMemorySessionRepository())))) as client:
        answer = await client.post("/chat/%00")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:session-router:problem:invalid-value"


async def test_an_error_in_a_web_socket_stays_what_it_is() -> None:
    scope = {"type": "websocket", "path": "/socket", "headers": []}
    async with served(app_of(lifespan(SessionManager(InMemorySessionRepository())))) as app:
        with pytest.raises(InvalidValueError, match="NUL"):
            await app(scope, _connect, _ignore)


async def test_a_signal_ends_the_streams_and_is_handed_on(heard: list[int]) -> None:
    manager = SessionManager(InMemorySessionRepository())
    handler = signal.getsignal(signal.SIGTERM)
    async with lifespan(manager)(None):
        stream = manager.stream("chat", WRITER, waiting)
        assert await anext(stream) == "thinking"
        os.kill(os.getpid(), signal.SIGTERM)
        assert [item async for item in stream] == []
        await eventually(lambda: _has_left(manager))  # before the lifespan ends
    assert heard == [signal.SIGTERM]
    assert "stream_finished worker_stopped writer/a" in await story(manager.repository)
    assert signal.getsignal(signal.SIGTERM) is handler


async def test_a_signal_of_the_event_loops_is_heard_by_both() -> None:
    manager, heard = SessionManager(InMemorySessionRepository()), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        async with lifespan(manager)(None):
            stream = manager.stream("chat", WRITER, waiting)
            assert await anext(stream) == "thinking"
            os.kill(os.getpid(), signal.SIGTERM)
            assert [item async for item in stream] == []
            async with asyncio.timeout(60):
                await heard.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_an_answer_that_comes_too_late_is_refused(heard: list[int]) -> None:
    manager = SessionManager(InMemorySessionRepository())
    async with lifespan(manager)(None) as state:
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: _has_left(manager))
        response = AgentStreamResponse(manager.stream("chat", WRITER, waiting))
        with pytest.raises(WorkerGoneError):
            await response({"type": "http", "state": state}, _unused, _unused)
    assert heard == [signal.SIGTERM]
    assert await story(manager.repository) == []


async def _has_left(manager: SessionManager) -> bool:
    return not await manager.repository.list_workers()


async def _connect() -> Message:
    return {"type": "websocket.connect"}


async def _ignore(_: Message) -> None:
    """What is sent is of no interest."""


async def _unused(*_: object) -> Any:
    raise AssertionError("nothing is to be sent")


def test_starlette_is_enough() -> None:
    without = "import sys; sys.modules.update(fastapi=None, uvicorn=None)"
    script = f"{without}; import session_router.fastapi"
    subprocess.run([sys.executable, "-c", script], check=True)
