"""Sessions and agents over HTTP, on every repository."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from session_router import AgentId, Session, SessionManager, SessionRepository
from session_router.http import create_app
from session_router.repository.changes import Register
from tests.http.conftest import client_of
from tests.support.trail import events, story

PROBLEM = "application/problem+json"


def assert_unknown(response: httpx.Response) -> None:
    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["type"] == "urn:session-router:problem:session-not-found"
    assert "'nobody'" in response.json()["detail"]


async def test_put_gets_or_creates_and_answers_with_the_session(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    first = await client.put("/sessions/chat")
    second = await client.put("/sessions/chat")
    assert first.status_code == second.status_code == 200
    assert first.json()["session_id"] == "chat"
    assert first.json()["agents_streaming"] == []
    assert Session(**first.json()).start_time == Session(**second.json()).start_time
    assert await story(repository) == ["session_started"]


async def test_post_makes_an_id_and_says_where_the_session_is(client: httpx.AsyncClient) -> None:
    made = await client.post("/sessions")
    assert made.status_code == 201
    assert str(UUID(made.json()["session_id"])) == made.json()["session_id"]
    found = await client.get(made.headers["location"])
    assert found.json() == made.json()


async def test_post_of_a_living_id_replaces_the_session(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    await client.put("/sessions/chat/agents/writer/alice")
    made = await client.post("/sessions", json={"session_id": "chat"})
    assert made.status_code == 201
    assert made.headers["location"] == "/sessions/chat"
    assert made.json()["agents_streaming"] == []
    assert "session_replaced" in [event.event for event in await events(repository)]
    assert len(await events(repository, "session_started")) == 2


async def test_get_reads_and_neither_touches_nor_creates(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    started = await client.put("/sessions/chat")
    assert (await client.get("/sessions/chat")).json() == started.json()
    assert_unknown(await client.get("/sessions/nobody"))
    assert await story(repository) == ["session_started"]


async def test_touch_moves_the_last_use_and_creates_nothing(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    # Idle, yet not so long that the manager's own sweep would end it.
    saved = Session(session_id="chat", last_updated=datetime.now(UTC) - timedelta(minutes=1))
    await repository.save_session(saved)
    touched = await client.post("/sessions/chat/touch")
    assert touched.status_code == 200
    assert Session(**touched.json()).last_updated > saved.last_updated
    assert_unknown(await client.post("/sessions/nobody/touch"))
    assert [session.session_id for session in await repository.list_sessions()] == ["chat"]


async def test_delete_ends_the_session_and_records_who_asked(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    await client.put("/sessions/chat")
    asked = {"actor": "Zoë & co", "reason": "100% done"}
    ended = await client.delete("/sessions/chat", params=asked)
    assert ended.status_code == 204
    assert ended.content == b""
    [event] = await events(repository, "session_ended")
    assert (event.actor, event.detail) == ("Zoë & co", "100% done")
    assert_unknown(await client.delete("/sessions/nobody"))
    assert (await client.delete("/sessions/chat")).status_code == 404


async def test_interrupt_names_those_it_stops_and_the_session_lives_on(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    for key in ("alice", "bob", "carol"):
        await client.put(f"/sessions/chat/agents/writer/{key}")
    body = {"agents": ["writer/carol", "writer/alice", "writer/nobody"], "actor": "me"}
    first = await client.post("/sessions/chat/interrupt", json=body)
    assert first.status_code == 200
    told = first.json()
    streams = [stream["agent_id"] for stream in told.pop("streams")]
    assert streams == ["writer/alice", "writer/carol"]
    assert told == {"session_id": "chat", "interrupted": streams}
    assert (await client.get("/sessions/chat")).json()["agents_streaming"] == ["writer/bob"]
    rest = await client.post("/sessions/chat/interrupt")
    assert rest.json()["interrupted"] == ["writer/bob"]
    none = await client.post("/sessions/chat/interrupt", json={})
    assert (none.status_code, none.json()["interrupted"]) == (200, [])
    requests = await events(repository, "interrupt_requested")
    assert [event.actor for event in requests] == ["me", None, None]


async def test_an_interrupt_that_waits_tells_what_became_of_each(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    await client.put("/sessions/chat/agents/writer/alice")
    elsewhere, stream_id = uuid4(), uuid4()
    await repository.add_worker(elsewhere, "host", 1)
    bob = AgentId("writer", "bob")
    await repository.register_stream(Register("chat", bob, elsewhere, stream_id, renew=False))
    answer = await client.post("/sessions/chat/interrupt", json={"wait": 1.5})
    # Nobody hosts the first one's agent here; the second one's worker does not answer.
    assert answer.json()["outcomes"] == {"writer/alice": "failed", "writer/bob": None}
    for wait in (0, -1, 1e9, "long"):
        refused = await client.post("/sessions/chat/interrupt", json={"wait": wait})
        assert refused.status_code == 422


async def test_readyz_tells_how_the_worker_is_woken(client: httpx.AsyncClient) -> None:
    ready = (await client.get("/readyz")).json()
    assert ready["status"] == "ready"
    assert (ready["wake_ups"] == "listening") == (ready["wake_ups_reason"] is None)


async def test_an_interrupt_that_is_not_understood_stops_nobody(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/sessions/chat/agents/writer/alice")
    assert_unknown(await client.post("/sessions/nobody/interrupt"))
    misspelt = await client.post("/sessions/chat/interrupt", json={"agent": ["writer/bob"]})
    assert misspelt.status_code == 422
    no_id = await client.post("/sessions/chat/interrupt", json={"agents": ["writer"]})
    assert no_id.status_code == 400
    assert "type/key" in no_id.json()["detail"]
    assert (await client.get("/sessions/chat")).json()["agents_streaming"] == ["writer/alice"]


async def test_an_agent_registers_once_and_its_stream_ends_by_its_id_in_any_worker(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    path = "/sessions/chat/agents/writer/alice"
    first, second = await client.put(path), await client.put(path)
    assert first.status_code == 200
    assert first.json() == second.json()
    stream_id = first.json().pop("stream_id")
    assert first.json() == {
        "session_id": "chat",
        "agent_id": "writer/alice",
        "stream_id": stream_id,
    }
    async with (
        SessionManager(repository) as other_worker,
        client_of(create_app(other_worker)) as other,
    ):
        assert (await other.delete(path)).status_code == 422
        stale = await other.delete(path, params={"stream_id": str(uuid4())})
        assert stale.status_code == 204
        session = await repository.find_session("chat")
        assert session is not None
        assert session.agents_streaming == {AgentId("writer", "alice")}
        for _ in range(2):
            ended = await other.delete(path, params={"stream_id": stream_id})
            assert ended.status_code == 204
            assert ended.content == b""
    assert (await story(repository))[-1] == "stream_finished completed writer/alice"


async def test_a_stream_of_an_unknown_session_ends_without_creating_it(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    path = f"/sessions/nobody/agents/writer/alice?stream_id={uuid4()}"
    assert (await client.delete(path)).status_code == 204
    assert await repository.list_sessions() == []


@pytest.mark.parametrize("limit", [2, 6])
async def test_pages_of_sessions_give_each_once_in_order(
    client: httpx.AsyncClient, manager: SessionManager, limit: int
) -> None:
    ids = sorted(["b", "a/..", "ä+ ", "B", "\U0001f600", "%61"])
    for session_id in ids:
        await manager.register_agent(session_id, AgentId("writer", session_id))
    pages = await walk(client, "/sessions", limit)
    assert all(0 < len(page) <= limit for page in pages)
    items = [item for page in pages for item in page]
    assert [item["session_id"] for item in items] == ids
    assert [item["agents_streaming"] for item in items] == [[f"writer/{i}"] for i in ids]


async def test_pages_of_events_tell_the_story_also_after_the_end(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    await client.put("/sessions/chat/agents/writer/alice")
    await client.put("/sessions/other")
    await client.delete("/sessions/chat")
    pages = await walk(client, "/sessions/chat/events", 2)
    told = [item for page in pages for item in page]
    trail = await events(repository, session_id="chat")
    assert told == [event.model_dump(mode="json") for event in trail]
    assert len(told) == 5


async def test_an_id_that_never_lived_has_no_events(client: httpx.AsyncClient) -> None:
    response = await client.get("/sessions/nobody/events")
    assert (response.status_code, response.json()) == (200, {"items": [], "next": None})


async def walk(client: httpx.AsyncClient, path: str, limit: int) -> list[list[Any]]:
    """All pages, from the first to the one that is the last."""
    pages: list[list[Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        page = (await client.get(path, params=params)).raise_for_status().json()
        assert set(page) == {"items", "next"}
        pages.append(page["items"])
        if page["next"] is None:
            return pages
        params["after"] = page["next"]
