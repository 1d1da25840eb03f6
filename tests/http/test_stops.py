"""Stops over HTTP: of one stream, before it begins, of many, and where others are in the way."""

from uuid import UUID, uuid4

import httpx
import pytest

from session_router import AgentId, SessionManager, SessionRepository
from session_router.repository.changes import Register
from tests.support.trail import story
from tests.support.waiting import eventually

WRITER = "/sessions/chat/agents/writer/a"


async def test_a_stream_is_listed_shown_and_stopped_by_its_name(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    name = str(uuid4())
    registered = await client.put(WRITER, json={"stream_id": name})
    assert registered.json()["stream_id"] == name
    shown = await client.get(f"/sessions/chat/streams/{name}")
    assert (await client.get("/sessions/chat/streams")).json() == {"items": [shown.json()]}
    assert shown.json()["agent_id"] == "writer/a"
    assert shown.json()["worker_id"] == str(manager.worker_id)

    stopped = await client.post(f"/sessions/chat/streams/{name}/interrupt", json={"wait": 5})

    # Nothing of that name is hosted in the service.
    assert stopped.status_code == 200
    assert stopped.json() == {
        "session_id": "chat",
        "stream_id": name,
        "request_id": stopped.json()["request_id"],
        "found": "live",
        "agent_id": "writer/a",
        "outcome": "failed",
    }
    gone = await client.get(f"/sessions/chat/streams/{name}")
    assert (gone.status_code, gone.json()["type"][-16:]) == (404, "stream-not-found")
    again = await client.post(f"/sessions/chat/streams/{name}/interrupt")
    assert (again.json()["found"], again.json()["outcome"]) == ("over", None)
    assert (await client.get("/sessions/nobody/streams")).json() == {"items": []}


async def test_a_stream_that_was_stopped_ahead_is_not_registered(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    name = str(uuid4())
    ahead = await client.post(f"/sessions/chat/streams/{name}/interrupt", json={"actor": "ann"})
    assert (ahead.status_code, ahead.json()["found"]) == (200, "ahead")

    refused = await client.put(WRITER, json={"stream_id": name})

    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:session-router:problem:stream-stopped"
    assert (await story(repository))[-1] == "signal_settled delivered writer/a"
    used = await client.put(WRITER, json={"stream_id": name})
    assert (used.status_code, used.json()["type"][-13:]) == (409, "stream-exists")


async def test_a_busy_session_names_what_is_in_the_way_and_where_to_stop_it(
    client: httpx.AsyncClient,
) -> None:
    hostile = "/sessions/a%2Fb%3F/agents"
    first = (await client.put(f"{hostile}/writer/a")).json()["stream_id"]

    refused = await client.put(f"{hostile}/critic/b", json={"when_busy": "refuse", "alone": True})

    assert refused.status_code == 409
    problem = refused.json()
    assert problem["type"] == "urn:session-router:problem:session-busy"
    [in_the_way] = problem["streams"]
    assert in_the_way == {
        "stream_id": first,
        "agent_id": "writer/a",
        "href": f"/sessions/a%2Fb%3F/streams/{first}",
    }
    assert (await client.get(in_the_way["href"])).json()["agent_id"] == "writer/a"
    stopped = await client.post(f"{in_the_way['href']}/interrupt", json={"wait": 5})
    assert stopped.json()["found"] == "live"
    registered = await client.put(
        f"{hostile}/critic/b", json={"when_busy": "refuse", "alone": True}
    )
    assert registered.status_code == 200


async def test_a_stop_whose_receipts_are_open_is_202_and_says_where_they_are(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    silent = uuid4()  # a worker that looks for no signals
    await repository.add_worker(silent, "host", 1)

    async def register(key: str) -> UUID:
        asked = Register("chat", AgentId("writer", key), silent, uuid4(), renew=False)
        return (await repository.register_stream(asked)).stream_id

    stream_id, other = await register("a"), await register("b")
    of_stream = await client.post(
        f"/sessions/chat/streams/{stream_id}/interrupt", json={"wait": 0.05}
    )
    of_session = await client.post("/sessions/chat/interrupt", json={"wait": 0.05})

    assert (of_stream.status_code, of_stream.json()["outcome"]) == (202, None)
    assert (of_session.status_code, of_session.json()["outcomes"]) == (202, {"writer/b": None})
    receipts = (await client.get(of_session.headers["location"])).json()
    assert (receipts["open"], receipts["delivered"]) == (1, 0)
    await repository.remove_worker(silent)
    receipts = (await client.get(of_session.headers["location"])).json()
    assert (receipts["open"], receipts["failed"]) == (0, 1)
    assert receipts["undelivered"][0]["stream_id"] == str(other)


async def test_many_are_stopped_by_one_request_whose_receipts_are_counted(
    client: httpx.AsyncClient,
) -> None:
    for number in range(3):
        await client.put(f"/sessions/s{number}/agents/writer/a")
    await client.put("/sessions/s0/agents/critic/a")
    asked = {"agent_type": "writer", "actor": "ann", "reason": "runs away"}

    counted = await client.post("/interrupts", json=asked | {"dry_run": True})
    done = await client.post("/interrupts", json=asked)

    assert counted.status_code == done.status_code == 202
    assert {**counted.json(), "request_id": None} == {
        "request_id": None, "sessions": 3, "streams": 3, "dry_run": True,
    }  # fmt: skip
    assert {**done.json(), "request_id": None} == {
        "request_id": None, "sessions": 3, "streams": 3, "dry_run": False,
    }  # fmt: skip
    where = f"/interrupts/{done.json()['request_id']}"

    async def are_in() -> bool:
        return bool((await client.get(where)).json()["open"] == 0)

    await eventually(are_in)
    receipts = (await client.get(where)).json()
    assert (receipts["delivered"], receipts["failed"], receipts["lost"]) == (0, 3, 0)
    assert {one["session_id"] for one in receipts["undelivered"]} == {"s0", "s1", "s2"}
    nobody = await client.get(f"/interrupts/{uuid4()}")
    assert (nobody.status_code, nobody.json()["type"][-17:]) == (404, "request-not-found")


async def test_an_interrupt_says_where_its_receipts_are(client: httpx.AsyncClient) -> None:
    await client.put(WRITER)
    answer = await client.post("/sessions/chat/interrupt", json={"wait": 5})
    assert answer.status_code == 200
    assert (await client.get(answer.headers["location"])).json()["failed"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/interrupts", {"agents": ["writer/a"]}),
        ("/interrupts", {"older_than": 0}),
        ("/interrupts", {"older_than": 5e-324}),
        ("/interrupts", {"older_than": 1e308}),
        ("/interrupts", {"dry_run": 0}),
        ("/interrupts", {"worker_id": "nobody"}),
        ("/sessions/chat/streams/nobody/interrupt", {}),
        (f"/sessions/chat/streams/{UUID(int=7)}/interrupt", {"wait": -1}),
    ],
)
async def test_what_is_not_acceptable_is_422(
    memory: httpx.AsyncClient, path: str, body: dict[str, object]
) -> None:
    assert (await memory.post(path, json=body)).status_code == 422


async def test_a_list_is_narrowed_down(client: httpx.AsyncClient) -> None:
    await client.put("/sessions/chat-2")
    worker = (await client.put("/sessions/chat-1/agents/writer/a")).json()
    assert worker["session_id"] == "chat-1"
    await client.put("/sessions/other")

    async def ids(**query: str) -> list[str]:
        answer = await client.get("/sessions", params=query)
        assert answer.status_code == 200, answer.text
        return [session["session_id"] for session in answer.json()["items"]]

    assert await ids(prefix="chat") == ["chat-1", "chat-2"]
    assert await ids(streaming="true") == ["chat-1"]
    assert await ids(streaming="false", prefix="chat") == ["chat-2"]
    assert await ids(agent_type="writer") == ["chat-1"]
    assert await ids(worker=str(uuid4())) == []
    assert await ids(idle_for="3600") == []
    first = await client.get("/sessions", params={"prefix": "chat", "limit": "1"})
    assert first.json()["next"] == "chat-1"
    for wrong in (
        {"worker": "x"},
        {"idle_for": "0"},
        {"idle_for": "1e308"},
        {"streaming": "perhaps"},
    ):
        assert (await client.get("/sessions", params=wrong)).status_code == 422
