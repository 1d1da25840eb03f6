"""Every error is a problem document that says what to do, and keeps inner matters to itself."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from session_router import (
    AgentId,
    InMemorySessionRepository,
    Session,
    SessionManager,
    SQLAlchemySessionRepository,
    problems,
)
from session_router.http import create_app
from session_router.problems import ProblemKind
from session_router.settings import Tuning
from tests.http.conftest import client_of
from tests.support.sql import connected, run_script
from tests.support.waiting import eventually

JSON = {"content-type": "application/json"}


def assert_problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:session-router:problem:{name}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.mark.parametrize(
    ("body", "headers", "status", "name"),
    [
        (b"{", JSON, 400, "malformed-body"),
        (b'{"session_id": "\xff"}', JSON, 400, "malformed-body"),
        (b"[" * 100_000, JSON, 400, "malformed-body"),
        (b'"chat"', JSON, 422, "invalid-request"),
        (b"[]", JSON, 422, "invalid-request"),
        (b'{"sesion_id": "chat"}', JSON, 422, "invalid-request"),
        (b'{"session_id": "chat"}', {}, 415, "wrong-content-type"),
        (b"session_id=chat", {"content-type": "text/plain"}, 415, "wrong-content-type"),
        (b'{"session_id": ""}', JSON, 400, "invalid-value"),
        (b'{"session_id": 5}', JSON, 400, "invalid-value"),
        (b'{"session_id": "\\u0000"}', JSON, 400, "invalid-value"),
        (b'{"session_id": "\\ud800"}', JSON, 400, "invalid-value"),
    ],
    ids=lambda value: ascii(value)[:30],
)
async def test_a_bad_body_is_refused_and_writes_nothing(
    memory: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, name: str
) -> None:
    response = await memory.post("/sessions", content=body, headers=headers)
    assert_problem(response, status, name)
    assert (await memory.get("/sessions")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({"agents": "writer/alice"}, 422, "invalid-request"),
        ({"agents": [5]}, 400, "invalid-value"),
        ({"agents": ["wri ter/alice"]}, 400, "invalid-value"),
        ({"actor": "x" * 2_001}, 400, "invalid-value"),
        ({"reason": "a\0b"}, 400, "invalid-value"),
        ({"actor": ["me"]}, 422, "invalid-request"),
    ],
    ids=lambda value: ascii(value)[:30],
)
async def test_a_bad_interrupt_is_refused_and_stops_nobody(
    memory: httpx.AsyncClient, body: dict[str, Any], status: int, name: str
) -> None:
    await memory.put("/sessions/chat/agents/writer/alice")
    response = await memory.post("/sessions/chat/interrupt", json=body)
    assert_problem(response, status, name)
    assert (await memory.get("/sessions/chat")).json()["agents_streaming"] == ["writer/alice"]


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("limit=0", 422, "invalid-request"),
        ("limit=1001", 422, "invalid-request"),
        ("limit=ten", 422, "invalid-request"),
        ("after=", 400, "invalid-value"),
        ("after=a%00", 400, "invalid-value"),
    ],
)
async def test_a_bad_page_is_refused(
    memory: httpx.AsyncClient, query: str, status: int, name: str
) -> None:
    assert_problem(await memory.get(f"/sessions?{query}"), status, name)


@pytest.mark.parametrize("after", [-1, 2**63, 10**30, "x"])
async def test_a_bad_page_of_events_is_refused(memory: httpx.AsyncClient, after: object) -> None:
    response = await memory.get("/sessions/chat/events", params={"after": str(after)})
    assert_problem(response, 422, "invalid-request")


async def test_a_validation_problem_names_each_value_where_it_stands(
    memory: httpx.AsyncClient,
) -> None:
    response = await memory.get("/sessions/chat/events?limit=0&after=x")
    document = assert_problem(response, 422, "invalid-request")
    assert [fault["location"] for fault in document["errors"]] == ["query.limit", "query.after"]
    assert "'x'" in document["detail"]
    missing = await memory.delete("/sessions/chat/agents/writer/alice")
    assert "query.stream_id" in assert_problem(missing, 422, "invalid-request")["detail"]


@pytest.mark.parametrize(
    "path", ["/", "/session", "/sessions/a/b", "/sessions/a/agents/writer/a/b"]
)
async def test_a_path_with_nothing_at_it_is_a_problem(memory: httpx.AsyncClient, path: str) -> None:
    assert "%2F" in assert_problem(await memory.get(path), 404, "path-not-found")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/sessions/chat", "DELETE, GET, PUT"),
        ("PUT", "/sessions", "GET, POST"),
        ("GET", "/sessions/chat/touch", "POST"),
        ("POST", "/sessions/chat/agents/writer/alice", "DELETE, PUT"),
        ("DELETE", "/healthz", "GET"),
    ],
)
async def test_a_wrong_method_is_told_all_the_right_ones(
    memory: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await memory.request(method, path)
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == allowed


class Faulty(InMemorySessionRepository):
    """Fails as nobody expects it to."""

    async def find_session(self, session_id: str) -> Session | None:
        raise RuntimeError("s3cret inner matter")


async def test_an_unexpected_error_is_logged_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        SessionManager(Faulty()) as manager,
        client_of(create_app(manager)) as client,
    ):
        response = await client.get("/sessions/chat")
    assert_problem(response, 500, "internal-error")
    assert "s3cret" not in response.text
    assert "Traceback" not in response.text
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "session_router"
    assert record.message.startswith("request_crashed method=GET path=/sessions/chat")
    assert record.exc_info


async def test_other_tables_are_a_problem_of_the_service(database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager, client_of(create_app(manager)) as client:
        table = "session_events" if "sqlite" in database_url else "session_router.session_events"
        async with repository.engine.begin() as conn:
            await conn.exec_driver_sql(f"ALTER TABLE {table} RENAME TO elsewhere")
        response = await client.put("/sessions/chat")
        document = assert_problem(response, 503, "wrong-schema")
        assert "session-router db upgrade" in document["detail"]
        assert "session_events" not in response.text
        async with repository.engine.begin() as conn:
            renamed = table.replace("session_events", "elsewhere")
            await conn.exec_driver_sql(f"ALTER TABLE {renamed} RENAME TO session_events")
        assert (await client.get("/sessions/chat")).status_code == 404
    await repository.close()


RAISES = """
CREATE FUNCTION session_router.inner_matter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'inner matter' USING ERRCODE = substr(NEW.session_id, 3);
END $$;
CREATE TRIGGER inner_matter BEFORE INSERT ON session_router.sessions
FOR EACH ROW WHEN (NEW.session_id LIKE 'E-%') EXECUTE FUNCTION session_router.inner_matter();
"""


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("40001", 503, "contention"),
        ("40P01", 503, "contention"),
        ("55P03", 503, "contention"),
        ("22P05", 422, "refused"),
        ("23514", 422, "refused"),
        ("XX000", 500, "internal-error"),
    ],
)
async def test_what_the_database_refuses_is_answered_by_its_kind_and_not_told(
    postgres_url: str, caplog: pytest.LogCaptureFixture, code: str, status: int, name: str
) -> None:
    run_script(postgres_url, RAISES)
    # What is in the way is tried again, for as long as there is time.
    limit_sec = 2 if status == 503 else 60
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=limit_sec)
    async with SessionManager(repository) as manager, client_of(create_app(manager)) as client:
        for method, path, body in (
            ("PUT", f"/sessions/E-{code}", None),
            ("PUT", f"/sessions/E-{code}/agents/writer/alice", None),
            ("POST", "/sessions", {"session_id": f"E-{code}"}),
        ):
            response = await client.request(method, path, json=body)
            document = assert_problem(response, status, name)
            assert ("nothing was written" in document["detail"]) == (status != 500)
            assert response.headers.get("retry-after") == ("1" if status == 503 else None)
            assert "inner matter" not in response.text
            assert f"request_failed method={method} path={path} status={status}" in caplog.text
        assert (await client.get("/sessions")).json()["items"] == []
    await repository.close()
    assert "inner matter" in caplog.text


async def test_a_database_that_cannot_be_reached_has_written_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    away = SQLAlchemySessionRepository.from_url(f"postgresql://a@127.0.0.1:{closed}/b")
    async with client_of(create_app(SessionManager(away))) as client:
        response = await client.put("/sessions/chat")
    await away.close()
    document = assert_problem(response, 503, "database-unavailable")
    assert response.headers["retry-after"] == "1"
    assert "nothing was written" in document["detail"]
    assert document["nothing_written"] is True


async def test_a_read_that_has_no_answer_in_time_has_written_nothing(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=1)
    async with (
        client_of(create_app(SessionManager(repository))) as client,
        connected(postgres_url) as locker,
        locker.transaction(),
    ):
        await locker.execute("LOCK TABLE session_router.sessions IN ACCESS EXCLUSIVE MODE")
        response = await client.get("/sessions")
    await repository.close()
    document = assert_problem(response, 503, "database-unavailable")
    assert document["nothing_written"] is True


async def test_a_worker_that_leaves_sends_registrations_to_another() -> None:
    may_close = asyncio.Event()

    async def slow_to_close() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await may_close.wait()

    manager = SessionManager(InMemorySessionRepository())
    stream = manager.stream("chat", AgentId("writer", "alice"), slow_to_close())
    assert await anext(stream) == 1
    async with client_of(create_app(manager)) as client:
        leaving = asyncio.create_task(manager.shutdown())

        async def refused() -> httpx.Response | None:
            response = await client.put("/sessions/chat/agents/writer/bob")
            return None if response.status_code == 200 else response

        response = await eventually(refused)
        assert response is not None
        assert "another worker" in assert_problem(response, 503, "worker-gone")["detail"]
        assert response.headers["retry-after"] == "1"
        may_close.set()
        await leaving


async def test_a_deadline_says_whether_the_outcome_is_unknown(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=2)
    made = SessionManager(repository, tuning=Tuning(touch_resolution_sec=0))  # touches write
    async with (
        made as manager,
        client_of(create_app(manager)) as client,
        connected(postgres_url) as locker,
    ):
        await client.put("/sessions/chat")
        async with locker.transaction():
            await locker.execute("SELECT 1 FROM session_router.sessions FOR UPDATE")
            held = await client.post("/sessions/chat/touch")
        async with locker.transaction():
            # A batch, which is one statement, waits for the table: it may be about to commit.
            await locker.execute("LOCK TABLE session_router.sessions IN ACCESS EXCLUSIVE MODE")
            late = await client.post("/sessions/chat/touch")
    await repository.close()
    assert "nothing was written" in assert_problem(held, 503, "contention")["detail"]
    assert held.headers["retry-after"] == "1"
    assert "unknown" in assert_problem(late, 504, "deadline-exceeded")["detail"]


def test_what_may_be_asked_again_says_when() -> None:
    """503 is passing by its meaning; of all others each says of itself whether it is."""
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, ProblemKind)]
    passing = {kind.name for kind in kinds if kind.passes}
    assert passing == {kind.name for kind in kinds if kind.status == 503} | {"request-under-way"}
    for kind in kinds:
        answer = problems.problem_response(kind, "detail")
        assert answer.headers.get("retry-after") == ("1" if kind.passes else None)


async def test_openapi_documents_the_paths_and_the_problems(memory: httpx.AsyncClient) -> None:
    document = (await memory.get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    agent = "/sessions/{session_id}/agents/{agent_type}/{agent_key}"
    assert set(operations) == {
        "GET /sessions",
        "POST /sessions",
        "GET /sessions/{session_id}",
        "PUT /sessions/{session_id}",
        "DELETE /sessions/{session_id}",
        "POST /sessions/{session_id}/touch",
        "POST /sessions/{session_id}/interrupt",
        "GET /sessions/{session_id}/events",
        f"PUT {agent}",
        f"DELETE {agent}",
        "GET /sessions/{session_id}/streams",
        "GET /sessions/{session_id}/streams/{stream_id}",
        "POST /sessions/{session_id}/streams/{stream_id}/interrupt",
        "POST /interrupts",
        "GET /interrupts/{request_id}",
        "POST /workers",
        "DELETE /workers/{worker_id}",
        "POST /workers/{worker_id}/heartbeat",
        "POST /workers/{worker_id}/settlements",
        "GET /workers/{worker_id}/signals",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
    }
    in_path = [p["name"] for p in operations[f"PUT {agent}"]["parameters"] if p["in"] == "path"]
    assert in_path == ["session_id", "agent_type", "agent_key"]
    for operation in operations.values():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert (await memory.get("/docs")).status_code == 200
