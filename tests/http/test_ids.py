"""Ids travel percent-encoded through every route, and arrive as they were."""

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from session_router.http.raw_path import decode_segment, encode_segment
from tests.http.conftest import client_of, memory_client
from tests.http.ids import HOSTILE_IDS, encoded
from tests.http.service import Service
from tests.support.databases import PostgresDatabases

NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=255)


@pytest.fixture(scope="module")
def service(postgres: PostgresDatabases) -> Iterator[Service]:
    with postgres.fresh() as url, Service.running(database_url=url) as service:
        yield service


@pytest.mark.parametrize("name", HOSTILE_IDS, ids=ascii)
async def test_hostile_ids_come_back_unchanged_from_each_route(service: Service, name: str) -> None:
    session, key = f"/sessions/{encoded(name)}", encoded(name)
    assert (await service.ask("PUT", session)).document["session_id"] == name
    registered = await service.ask("PUT", f"{session}/agents/writer/{key}")
    assert registered.document["session_id"] == name
    assert registered.document["agent_id"] == f"writer/{name}"
    shown = await service.ask("GET", session)
    assert shown.document["session_id"] == name
    assert shown.document["agents_streaming"] == [f"writer/{name}"]
    assert (await service.ask("POST", f"{session}/touch")).document["session_id"] == name
    body = {"agents": [f"writer/{name}"], "actor": name}
    interrupted = await service.ask("POST", f"{session}/interrupt", body)
    assert interrupted.document["interrupted"] == [f"writer/{name}"]
    assert interrupted.document["streams"][0]["session_id"] == name
    stream_id = (await service.ask("PUT", f"{session}/agents/writer/{key}")).document["stream_id"]
    stale = f"{session}/agents/writer/{key}?stream_id={stream_id}"
    assert (await service.ask("DELETE", stale)).status == 204
    made = await service.ask("POST", "/sessions", {"session_id": name})
    assert made.document["session_id"] == name
    located = await service.ask("GET", made.headers["location"])
    assert located.document == made.document
    listed = await service.ask("GET", "/sessions?limit=1000")
    assert name in [item["session_id"] for item in listed.document["items"]]
    assert (await service.ask("GET", f"/sessions?after={encoded(name)}")).status == 200
    ended = await service.ask("DELETE", f"{session}?reason={encoded(name)}")
    assert ended.status == 204
    told = (await service.ask("GET", f"{session}/events")).document["items"]
    assert {event["session_id"] for event in told} == {name}
    assert {event["agent_key"] for event in told} == {name, None}
    assert told[-1]["detail"] == name


@given(name=NAMES, key=NAMES)
@settings(max_examples=20, deadline=None)
async def test_any_id_comes_back_unchanged(name: str, key: str) -> None:
    async with memory_client() as client:
        session = f"/sessions/{encoded(name)}"
        path = f"{session}/agents/writer/{encoded(key)}"
        registered = (await client.put(path)).raise_for_status().json()
        assert (registered["session_id"], registered["agent_id"]) == (name, f"writer/{key}")
        listed = (await client.get("/sessions")).json()["items"]
        assert [item["session_id"] for item in listed] == [name]
        assert listed[0]["agents_streaming"] == [f"writer/{key}"]
        params = {"stream_id": registered["stream_id"]}
        assert (await client.delete(path, params=params)).status_code == 204
        assert (await client.delete(session)).status_code == 204
        told = (await client.get(f"{session}/events")).json()["items"]
        assert [event["event"] for event in told][-2:] == ["stream_finished", "session_ended"]


@given(text=NAMES)
def test_a_segment_is_decoded_to_what_was_encoded(text: str) -> None:
    assert decode_segment(encode_segment(text)) == text
    assert decode_segment(encoded(text)) == text
    assert not set(encode_segment(text)) & set("/?#")
    assert encode_segment(text) not in (".", "..")


async def test_an_encoded_slash_is_part_of_the_id_and_no_part_of_the_route(
    memory: httpx.AsyncClient,
) -> None:
    await memory.put("/sessions/a")
    assert (await memory.get("/sessions/a%2Fevents")).status_code == 404
    assert (await memory.get("/sessions/a/events")).status_code == 200
    assert (await memory.put("/sessions/a%2fevents")).json()["session_id"] == "a/events"
    assert (await memory.put("/sessions/a/events")).status_code == 405


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        ("%", "%25"),
        ("%2", "%25"),
        ("50%zz", "%25"),
        ("%FF", "UTF-8"),
        ("%ED%A0%80", "UTF-8"),  # a lone surrogate
        ("%C0%AF", "UTF-8"),  # a slash, in more bytes than it takes
        ("%00", "NUL"),
        ("", "0 characters"),
        ("x" * 256, "256 characters"),
        ("%F0%9F%91%8D" * 256, "256 characters"),
    ],
)
async def test_what_is_no_id_is_refused_by_each_route_and_writes_nothing(
    memory: httpx.AsyncClient, segment: str, said: str
) -> None:
    asked = [
        ("PUT", f"/sessions/{segment}"),
        ("GET", f"/sessions/{segment}"),
        ("DELETE", f"/sessions/{segment}"),
        ("POST", f"/sessions/{segment}/touch"),
        ("POST", f"/sessions/{segment}/interrupt"),
        ("GET", f"/sessions/{segment}/events"),
        ("PUT", f"/sessions/{segment}/agents/writer/alice"),
        ("PUT", f"/sessions/chat/agents/writer/{segment}"),
    ]
    for method, path in asked:
        response = await ask_raw(memory, method, path)
        assert response.status_code == 400, (method, path)
        assert response.headers["content-type"] == "application/problem+json"
        assert said in response.json()["detail"]
    assert (await memory.get("/sessions")).json()["items"] == []


@pytest.mark.parametrize(
    "agent", ["", "/", "writer", "writer/", "/ann", "we ird/ann", "caf\u00e9/ann", "writer/a\0b"]
)
async def test_the_document_refuses_the_agents_that_an_interrupt_refuses(
    memory: httpx.AsyncClient, agent: str
) -> None:
    schemas = (await memory.get("/openapi.json")).json()["components"]["schemas"]
    [agents, _] = schemas["Interrupt"]["properties"]["agents"]["anyOf"]
    pattern = re.compile(agents["items"]["pattern"])
    assert pattern.search("writer/ann/\nthe second")
    assert not pattern.search(agent)
    response = await memory.post("/sessions/chat/interrupt", json={"agents": [agent]})
    assert response.status_code == 400


@pytest.mark.parametrize("agent_type", ["we%20ird", "caf%C3%A9", "a%2Fb", "", "x" * 256, "a%0A"])
async def test_a_bad_agent_type_is_refused(memory: httpx.AsyncClient, agent_type: str) -> None:
    response = await ask_raw(memory, "PUT", f"/sessions/chat/agents/{agent_type}/alice")
    assert response.status_code == 400
    assert "agent type" in response.json()["detail"]
    assert (await memory.get("/sessions")).json()["items"] == []


async def test_raw_bytes_that_are_no_http_get_a_problem_document(service: Service) -> None:
    request = "GET /sessions/é HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await service.send(request.encode())
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.document["status"] == 400


class WithoutRawPath:
    """A server that hands on the decoded path only."""

    def __init__(self, manager: SessionManager) -> None:
        self._app = create_app(manager)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({k: v for k, v in scope.items() if k != "raw_path"}, receive, send)


@pytest.fixture
async def started_manager() -> AsyncIterator[SessionManager]:
    async with SessionManager(InMemorySessionRepository()) as manager:
        yield manager


@pytest.mark.parametrize("name", ["a b", "50%", "ä\n?", "%2F"])
async def test_without_a_raw_path_all_but_slashes_survives(
    started_manager: SessionManager, name: str
) -> None:
    async with client_of(WithoutRawPath(started_manager)) as client:
        session = await client.put(f"/sessions/{encoded(name)}")
        assert session.json()["session_id"] == name


@pytest.mark.parametrize("name", ["a/b", "..", "ä "])
@pytest.mark.parametrize("root", ["/api", "/deep/er", "/sp ace"])
async def test_a_mounted_app_keeps_ids_and_says_where_sessions_are(
    started_manager: SessionManager, root: str, name: str
) -> None:
    host = Starlette(routes=[Mount(root, create_app(started_manager))])
    async with client_of(host) as client:
        prefix = root.replace(" ", "%20")
        session = await client.put(f"{prefix}/sessions/{encoded(name)}")
        assert session.json()["session_id"] == name
        made = await client.post(f"{prefix}/sessions", json={"session_id": name})
        located = made.headers["location"]
        assert located.startswith(f"{prefix}/sessions/")
        assert (await ask_raw(client, "GET", located)).json() == made.json()


async def ask_raw(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    """Ask for exactly this path: the client would mend a broken one."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)

    async def with_path(scope: Scope, receive: Receive, send: Send) -> None:
        sent = {"raw_path": path.encode("ascii"), "path": unquote(path)}
        await app({**scope, **sent}, receive, send)

    app = transport.app
    async with client_of(with_path) as raw_client:
        return await raw_client.request(method, "/")
