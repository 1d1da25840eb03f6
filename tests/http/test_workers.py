"""Remote workers: they enter, beat, register streams and end them, and settle their signals."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from session_router import (
    AgentId,
    InMemorySessionRepository,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.access import Keys, NewKey
from session_router.access.callers import Callers
from session_router.http import create_app
from session_router.settings import Tuning
from tests.http.conftest import client_of
from tests.http.remote import enter, register
from tests.support.trail import events, story

WRITER = "/sessions/chat/agents/writer/a"
PROBLEM = "urn:session-router:problem:"


def told(answer: httpx.Response, status: int, problem: str) -> str:
    """Check that it is this problem; returns what it says."""
    assert (answer.status_code, answer.json()["type"]) == (status, PROBLEM + problem), answer.text
    detail: str = answer.json()["detail"]
    return detail


async def row_of(repository: SessionRepository, worker_id: str) -> Any:
    return await repository.find_worker(UUID(worker_id))


async def signal_of(repository: SessionRepository, worker_id: str) -> str:
    """The one signal that the worker has not settled."""
    [signal] = await repository.unsettled_signals(UUID(worker_id))
    return str(signal.signal_id)


async def interrupted(client: httpx.AsyncClient, repository: SessionRepository) -> tuple[str, str]:
    """A worker whose one stream was interrupted, and the signal of that."""
    worker_id = await enter(client)
    await register(client, worker_id)
    assert (await client.post("/sessions/chat/interrupt")).status_code == 200
    return worker_id, await signal_of(repository, worker_id)


def settlement(signal_id: str, outcome: str = "delivered", **more: object) -> dict[str, object]:
    return {"items": [{"signal_id": signal_id, "outcome": outcome, **more}]}


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
    before = await row_of(repository, worker_id)
    assert (before.host, before.pid, before.key_id) == ("box-1", 4711, None)

    assert (await client.post(f"/workers/{worker_id}/heartbeat")).status_code == 204
    assert (await row_of(repository, worker_id)).heartbeat_at > before.heartbeat_at

    assert (await client.delete(f"/workers/{worker_id}")).status_code == 204
    assert await row_of(repository, worker_id) is None


async def test_what_a_worker_is_told_at_its_entry_is_how_the_service_is_set() -> None:
    tuning = Tuning(lease_sec=7, heartbeat_interval_sec=2)
    async with (
        SessionManager(InMemorySessionRepository(), tuning=tuning) as manager,
        client_of(create_app(manager)) as client,
    ):
        entered = (await client.post("/workers")).json()
    assert (entered["lease_sec"], entered["heartbeat_interval_sec"]) == (7, 2)


async def test_a_worker_that_says_nothing_of_itself_is_entered_by_its_address(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    entered = await client.post("/workers")
    row = await row_of(repository, entered.json()["worker_id"])
    assert (row.host, row.pid) == ("127.0.0.1", 0)


async def test_a_pid_is_whole_however_it_is_written(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    entered = await client.post("/workers", json={"pid": 7.0})
    assert (await row_of(repository, entered.json()["worker_id"])).pid == 7


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"host": ""}, 400, "invalid-value"),
        ({"host": "x" * 256}, 400, "invalid-value"),
        ({"host": "a\0b"}, 400, "invalid-value"),
        ({"host": 7}, 422, "invalid-request"),
        ({"pid": -1}, 422, "invalid-request"),
        ({"pid": 2**31}, 422, "invalid-request"),
        ({"pid": "many"}, 422, "invalid-request"),
        ({"pid": "7"}, 422, "invalid-request"),
        ({"pid": 7.5}, 422, "invalid-request"),
        ({"pid": True}, 422, "invalid-request"),
        ({"process": 1}, 422, "invalid-request"),
        ([], 422, "invalid-request"),
    ],
)
async def test_a_worker_with_a_wrong_host_or_pid_is_refused(
    memory: httpx.AsyncClient, body: object, status: int, problem: str
) -> None:
    told(await memory.post("/workers", json=body), status, problem)


async def test_a_stream_ends_as_its_worker_says(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id = await enter(client)
    ends: list[dict[str, str]] = [
        {},
        {"outcome": "failed", "detail": "no answer"},
        {"outcome": "abandoned", "detail": "x" * 3_000},
    ]
    for end in ends:
        stream_id = await register(client, worker_id)
        params = {"stream_id": stream_id, "worker_id": worker_id, **end}
        assert (await client.delete(WRITER, params=params)).status_code == 204
        # Once more, as after an answer that got lost.
        assert (await client.delete(WRITER, params=params)).status_code == 204
    finished = await events(repository, "stream_finished")
    assert [e.outcome for e in finished] == ["completed", "failed", "abandoned"]
    assert [e.detail for e in finished] == [None, "no answer", "x" * 1_999 + "…"]
    assert {str(e.worker_id) for e in finished} == {worker_id}


async def test_only_a_stream_of_that_worker_is_ended(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    ours, others = await enter(client), await enter(client)
    stream_id = await register(client, others)
    params = {"stream_id": stream_id, "worker_id": ours}
    assert (await client.delete(WRITER, params=params)).status_code == 204
    assert [str(s.stream_id) for s in await repository.list_streams("chat")] == [stream_id]


async def test_how_a_stream_of_no_remote_worker_ended_is_not_for_the_caller_to_say(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    stream_id = (await client.put(WRITER)).json()["stream_id"]
    for params in ({"outcome": "failed"}, {"detail": "why"}):
        answer = await client.delete(WRITER, params={"stream_id": stream_id, **params})
        assert "worker_id" in told(answer, 400, "invalid-value")
    assert len(await repository.list_streams("chat")) == 1
    bad = {"stream_id": stream_id, "worker_id": str(uuid4()), "outcome": "interrupted"}
    told(await client.delete(WRITER, params=bad), 422, "invalid-request")


async def test_each_registration_opens_a_stream_of_its_own(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id, name = await enter(client), str(uuid4())
    first = await register(client, worker_id)
    assert await register(client, worker_id, stream_id=name) == name
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished superseded writer/a",
        "stream_started writer/a",
    ]
    [signal] = await repository.unsettled_signals(UUID(worker_id))
    assert (str(signal.stream_id), str(signal.worker_id)) == (first, worker_id)
    again = await client.put(WRITER, json={"worker_id": worker_id, "stream_id": name})
    told(again, 409, "stream-exists")


async def test_a_registration_may_be_refused_as_busy_or_stopped(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id, name = await enter(client), str(uuid4())
    await client.post(f"/sessions/chat/streams/{name}/interrupt")
    stopped = await client.put(WRITER, json={"worker_id": worker_id, "stream_id": name})
    told(stopped, 409, "stream-stopped")
    await register(client, worker_id)
    busy = await client.put(WRITER, json={"worker_id": worker_id, "when_busy": "refuse"})
    told(busy, 409, "session-busy")
    assert len(await repository.list_streams("chat")) == 1


async def test_who_interrupts_what_is_in_the_way_begins_when_that_has_stopped(
    client: httpx.AsyncClient, repository: SessionRepository, manager: SessionManager
) -> None:
    async def words() -> AsyncIterator[str]:
        while True:
            yield "word"

    local = manager.stream("chat", AgentId("writer", "a"), words())
    await anext(local)
    worker_id = await enter(client)
    stream_id = await register(client, worker_id, when_busy="interrupt")
    assert local.outcome == "interrupted"
    [settled] = await events(repository, "signal_settled")
    assert (settled.stream_id, settled.outcome) == (local.stream_id, "delivered")
    assert [str(s.stream_id) for s in await repository.list_streams("chat")] == [stream_id]


async def test_signals_are_settled_once_with_what_became_of_them(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    worker_id, signal_id = await interrupted(client, repository)
    path = f"/workers/{worker_id}/settlements"
    failed = settlement(signal_id, "failed", detail="a\0b" + "x" * 3_000)
    for settled in (1, 0):
        answer = await client.post(path, json=failed)
        assert (answer.status_code, answer.json()) == (200, {"settled": settled})
    [written] = await events(repository, "signal_settled")
    assert (written.outcome, str(written.worker_id)) == ("failed", worker_id)
    assert written.detail is not None
    assert (len(written.detail), written.detail[:4]) == (2_000, "a\ufffdbx")


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"signal_id": str(uuid4()), "outcome": "delivered"}] * 1_001,
        [{"signal_id": "one", "outcome": "delivered"}],
        [{"signal_id": str(uuid4()), "outcome": "lost"}],
        [{"signal_id": str(uuid4())}],
        [{"signal_id": str(uuid4()), "outcome": "delivered", "why": ""}],
    ],
)
async def test_a_settlement_that_says_nothing_of_a_signal_is_refused(
    memory: httpx.AsyncClient, items: list[object]
) -> None:
    path = f"/workers/{await enter(memory)}/settlements"
    told(await memory.post(path, json={"items": items}), 422, "invalid-request")


async def test_a_thousand_signals_may_be_settled_at_once(memory: httpx.AsyncClient) -> None:
    items = [{"signal_id": str(uuid4()), "outcome": "failed", "detail": "x" * 500}] * 1_000
    path = f"/workers/{await enter(memory)}/settlements"
    answer = await memory.post(path, json={"items": items})
    assert (answer.status_code, answer.json()) == (200, {"settled": 0})


async def test_another_workers_signal_is_not_settled_nor_what_comes_with_it(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    others, foreign = await interrupted(client, repository)
    ours, own = await interrupted(client, repository)
    items = [{"signal_id": i, "outcome": "delivered"} for i in (own, foreign)]
    answer = await client.post(f"/workers/{ours}/settlements", json={"items": items})
    assert foreign in told(answer, 404, "signal-not-found")
    assert await events(repository, "signal_settled") == []
    assert await signal_of(repository, others) == foreign
    assert await signal_of(repository, ours) == own


@pytest.mark.parametrize("how", ["reaped", "stopped"])
async def test_nothing_is_written_for_a_worker_that_is_gone(
    client: httpx.AsyncClient, repository: SessionRepository, how: str
) -> None:
    worker_id, signal_id = await interrupted(client, repository)
    stream_id = await register(client, worker_id)
    if how == "reaped":
        beats = await repository.heartbeats()
        await repository.reap_workers({UUID(worker_id): beats[UUID(worker_id)]})
    else:
        assert (await client.delete(f"/workers/{worker_id}")).status_code == 204
    written = await story(repository)
    assert "stream_finished " + {"reaped": "worker_lost", "stopped": "worker_stopped"}[how] in str(
        written
    )
    ending = {"stream_id": stream_id, "worker_id": worker_id}
    for gone in (worker_id, str(uuid4())):
        for answer in (
            await client.post(f"/workers/{gone}/heartbeat"),
            await client.get(f"/workers/{gone}/signals"),
            await client.post(f"/workers/{gone}/settlements", json=settlement(signal_id)),
            await client.delete(f"/workers/{gone}"),
            await client.put("/sessions/new/agents/writer/a", json={"worker_id": gone}),
            await client.delete(WRITER, params=ending | {"worker_id": gone}),
        ):
            assert gone in told(answer, 410, "worker-gone")
    assert await story(repository) == written


async def test_ids_that_are_none_are_refused(memory: httpx.AsyncClient) -> None:
    for answer in (
        await memory.post("/workers/seven/heartbeat"),
        await memory.get("/workers/seven/signals"),
        await memory.delete("/workers/seven"),
        await memory.put(WRITER, json={"worker_id": "seven"}),
        await memory.delete(WRITER, params={"stream_id": str(uuid4()), "worker_id": "seven"}),
    ):
        told(answer, 422, "invalid-request")


class Keyed:
    """An app that asks for keys, and their owners' headers."""

    def __init__(self, client: httpx.AsyncClient, keys: Keys) -> None:
        self.client = client
        self._keys = keys

    async def header(self, *scopes: str) -> Mapping[str, str]:
        key = NewKey.of("agents", scopes)
        await self._keys.add(key, None, None)
        return {"Authorization": f"Bearer {key.token}"}


@pytest.fixture
async def on_database(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
async def keyed(on_database: SQLAlchemySessionRepository) -> AsyncIterator[Keyed]:
    keys = Keys(on_database.engine)
    async with (
        SessionManager(on_database) as manager,
        client_of(create_app(manager, callers=Callers(keys))) as client,
    ):
        yield Keyed(client, keys)


async def test_a_worker_is_its_keys_and_no_others(
    keyed: Keyed, on_database: SQLAlchemySessionRepository
) -> None:
    ours, others = await keyed.header("agent"), await keyed.header("agent", "operate")
    client = keyed.client
    worker_id = (await client.post("/workers", headers=ours)).json()["worker_id"]
    row = await row_of(on_database, worker_id)
    assert row.key_id == ours["Authorization"].split("_")[1]
    body = {"worker_id": worker_id}
    stream_id = (await client.put(WRITER, json=body, headers=ours)).json()["stream_id"]
    written = await story(on_database)
    params = {"stream_id": stream_id, "worker_id": worker_id}
    signal = settlement(str(uuid4()))
    for answer in (
        await client.post(f"/workers/{worker_id}/heartbeat", headers=others),
        await client.get(f"/workers/{worker_id}/signals", headers=others),
        await client.post(f"/workers/{worker_id}/settlements", json=signal, headers=others),
        await client.delete(f"/workers/{worker_id}", headers=others),
        await client.put("/sessions/x/agents/a/b", json=body, headers=others),
        await client.delete(WRITER, params=params, headers=others),
    ):
        assert worker_id in told(answer, 403, "forbidden")
    assert await story(on_database) == written
    assert (await row_of(on_database, worker_id)).heartbeat_at == row.heartbeat_at
    assert (await client.delete(WRITER, params=params, headers=ours)).status_code == 204


async def test_a_process_on_the_database_is_nobodys_remote_worker(
    keyed: Keyed, on_database: SQLAlchemySessionRepository
) -> None:
    ours = await keyed.header("agent")
    [row] = await on_database.list_workers()
    answer = await keyed.client.delete(f"/workers/{row.worker_id}", headers=ours)
    told(answer, 403, "forbidden")
    assert len(await on_database.list_workers()) == 1


async def test_an_agent_touches_the_session_while_items_flow(keyed: Keyed) -> None:
    agent = await keyed.header("agent")
    body = {"worker_id": (await keyed.client.post("/workers", headers=agent)).json()["worker_id"]}
    await keyed.client.put(WRITER, json=body, headers=agent)
    touched = await keyed.client.post("/sessions/chat/touch", headers=agent)
    assert (touched.status_code, touched.json()["agents_streaming"]) == (200, ["writer/a"])
    reader = await keyed.header("read")
    answer = await keyed.client.post("/sessions/chat/touch", headers=reader)
    assert "operate" in told(answer, 403, "forbidden")
