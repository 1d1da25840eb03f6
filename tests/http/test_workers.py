"""Remote workers: they enter, beat, stream, are told to stop, and settle that."""

from collections.abc import AsyncIterator

import httpx
import pytest

from session_router import SessionManager, SessionRepository
from session_router.http import create_app
from tests.http.remote import NOT_FOR_EVER, Events, enter, register, served
from tests.support.trail import events

WRITER = "/sessions/chat/agents/writer/a"


@pytest.fixture
async def client(manager: SessionManager) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        served(create_app(manager)) as url,
        httpx.AsyncClient(base_url=url, timeout=NOT_FOR_EVER) as client,
    ):
        yield client


async def test_a_worker_is_entered_beats_and_is_taken_out(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    entered = await client.post("/workers", json={"host": "box-1", "pid": 4711})
    assert entered.status_code == 201
    worker_id = entered.json()["worker_id"]
    assert entered.headers["location"] == f"/workers/{worker_id}"
    assert entered.json() == {
        "worker_id": worker_id,
        "lease_sec": 30.0,
        "heartbeat_interval_sec": 5.0,
    }
    [before] = [w for w in await repository.list_workers() if str(w.worker_id) == worker_id]
    assert (before.host, before.pid, before.key_id) == ("box-1", 4711, None)

    assert (await client.post(f"/workers/{worker_id}/heartbeat")).status_code == 204
    [after] = [w for w in await repository.list_workers() if str(w.worker_id) == worker_id]
    assert after.heartbeat_at > before.heartbeat_at

    assert (await client.delete(f"/workers/{worker_id}")).status_code == 204
    gone = await client.post(f"/workers/{worker_id}/heartbeat")
    assert (gone.status_code, gone.json()["type"][-11:]) == (410, "worker-gone")


async def test_an_interrupt_is_told_at_once_and_settled_by_whom_it_is_for(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id = await enter(client)
    stream_id = await register(client, worker_id)
    async with Events.of(client, worker_id) as told:
        assert told.response.headers["content-type"].startswith("text/event-stream")
        asked = await client.post("/sessions/chat/interrupt", json={"actor": "bob"})
        assert asked.json()["interrupted"] == ["writer/a"]
        event = await told.next()
        assert event is not None
        assert (event.name, event.id) == ("signal", event.data["signal_id"])
        assert event.data == {
            "signal_id": event.id,
            "request_id": asked.headers["location"].rpartition("/")[2],
            "session_id": "chat",
            "agent_id": "writer/a",
            "stream_id": stream_id,
            "action": "cancel",
            "requested_at": event.data["requested_at"],
        }
        assert event.data["requested_at"].endswith("Z")
    settlement = {"items": [{"signal_id": event.id, "outcome": "delivered", "detail": None}]}
    settled = await client.post(f"/workers/{worker_id}/settlements", json=settlement)
    assert (settled.status_code, settled.json()) == (200, {"settled": 1})
    again = await client.post(f"/workers/{worker_id}/settlements", json=settlement)
    assert (again.status_code, again.json()) == (200, {"settled": 0})
    [written] = await events(repository, "signal_settled")
    assert (str(written.stream_id), written.outcome) == (stream_id, "delivered")
    assert str(written.worker_id) == worker_id


async def test_a_stream_ends_as_its_worker_says(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id = await enter(client)
    for outcome in ("completed", "failed", "abandoned"):
        stream_id = await register(client, worker_id)
        params = {"stream_id": stream_id, "worker_id": worker_id, "outcome": outcome, "detail": "x"}
        assert (await client.delete(WRITER, params=params)).status_code == 204
        assert (await client.delete(WRITER, params=params)).status_code == 204
    finished = await events(repository, "stream_finished")
    assert [e.outcome for e in finished] == ["completed", "failed", "abandoned"]
    assert {e.detail for e in finished} == {"x"}
