"""`Idempotency-Key`: a request under a name is done once, and answered each time."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest

from session_router import SessionManager, SessionRepository, SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from session_router.access.callers import Callers
from session_router.http import create_app
from tests.http.conftest import client_of
from tests.http.test_problems import assert_problem
from tests.support.trail import events, story

STREAM = "8d8ac610-566d-4ef0-9c22-186b2a5ed793"
WRITER = "/sessions/s/agents/writer/a"


def named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_a_repeated_request_is_answered_as_the_first_and_writes_nothing(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    asked = [
        ("/sessions", {"session_id": "new"}),
        ("/sessions", None),
        ("/sessions/s/interrupt", {"reason": "r", "wait": 5}),
        (f"/sessions/s/streams/{STREAM}/interrupt", {"actor": "ann"}),
        ("/interrupts", {"agent_type": "writer"}),
    ]
    for number, (path, body) in enumerate(asked):
        await client.put(WRITER)
        first = await client.post(path, json=body, headers=named(f'"key {number}"'))
        assert first.is_success, first.text
        registered = await client.put(WRITER)
        before = await changes(repository)
        again = await client.post(path, json=body, headers=named(f'"key {number}"'))
        assert again.status_code == first.status_code
        assert again.json() == first.json()
        assert again.headers.get("Location") == first.headers.get("Location")
        assert await changes(repository) == before
        [live] = (await client.get("/sessions/s/streams")).json()["items"]
        assert live["stream_id"] == registered.json()["stream_id"]


async def changes(repository: SessionRepository) -> list[str]:
    """The trail without receipts, which come when they come."""
    return [line for line in await story(repository) if not line.startswith("signal_settled")]


async def test_a_key_that_is_a_uuid_becomes_the_request_id(
    client: httpx.AsyncClient, repository: SessionRepository
) -> None:
    await client.put(WRITER)
    for spelled in (
        "6a1b0a8e-5b4d-4c6c-9a50-02a4dc0c2a11",
        '"6A1B0A8E-5B4D-4C6C-9A50-02A4DC0C2A11"',
    ):
        answer = await client.post("/sessions/s/interrupt", headers=named(spelled))
        assert answer.headers["Location"] == "/interrupts/6a1b0a8e-5b4d-4c6c-9a50-02a4dc0c2a11"
    [requested] = await events(repository, "interrupt_requested")
    assert requested.request_id == UUID("6a1b0a8e-5b4d-4c6c-9a50-02a4dc0c2a11")


async def test_without_a_key_each_request_is_another_one(client: httpx.AsyncClient) -> None:
    await client.put(WRITER)
    places = [(await client.post("/sessions/s/interrupt")).headers["Location"] for _ in range(2)]
    assert len(set(places)) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sessions/s/interrupt", {"reason": "other"}),
        ("/sessions/s/interrupt", {"agents": ["writer/a"]}),
        ("/sessions/t/interrupt", None),
        ("/sessions", None),
        ("/interrupts", {}),
        (f"/sessions/s/streams/{STREAM}/interrupt", None),
    ],
)
async def test_a_key_of_another_request_is_refused(
    client: httpx.AsyncClient, repository: SessionRepository, path: str, body: object
) -> None:
    for session in "st":
        await client.put(f"/sessions/{session}")
    assert (await client.post("/sessions/s/interrupt", headers=named('"k"'))).is_success
    before = await story(repository)
    refused = await client.post(path, json=body, headers=named('"k"'))
    assert_problem(refused, 422, "idempotency-key-reused")
    assert await story(repository) == before


async def test_a_request_that_is_under_way_is_not_begun_again(
    client: httpx.AsyncClient, manager: SessionManager
) -> None:
    name = uuid4()

    def crashes(_: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await manager.interrupt_all(progress=crashes, request_id=name)
    under_way = await client.post("/interrupts", json={}, headers=named(str(name)))
    assert_problem(under_way, 409, "request-under-way")
    assert under_way.headers["Retry-After"] == "1"
    await manager.repository.advance_request(name, is_over=True)
    assert (await client.post("/interrupts", json={}, headers=named(str(name)))).is_success


UNACCEPTABLE = ["", '""', '"', '"a', 'a"b', '"a"b"', '"a"; x=1', "a, b", "a;b", "a b", '"\\a"']


@pytest.mark.parametrize("key", [*UNACCEPTABLE, "\u00e9", "x" * 256, f'"{"x" * 256}"'])
async def test_a_key_that_is_none_is_refused(
    client: httpx.AsyncClient, repository: SessionRepository, key: str
) -> None:
    refused = await client.post("/sessions", headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert_problem(refused, 400, "invalid-value")
    assert "Idempotency-Key" in refused.json()["detail"]
    assert await events(repository) == []


async def test_two_keys_of_one_request_are_refused(memory: httpx.AsyncClient) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_problem(await memory.post("/sessions", headers=twice), 400, "invalid-value")


@pytest.mark.parametrize(
    "key", ["a", "x" * 255, f'"{"x" * 255}"', '"a, b"', '"\\"\\\\"', "a/b:c=="]
)
async def test_keys_of_every_kind_are_taken(memory: httpx.AsyncClient, key: str) -> None:
    first, again = [await memory.post("/sessions", headers=named(key)) for _ in range(2)]
    assert first.status_code == 201
    assert first.json() == again.json()


@pytest.fixture
async def guarded(
    database_url: str,
) -> AsyncIterator[tuple[httpx.AsyncClient, Keys]]:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    keys = Keys(repository.engine)
    async with (
        SessionManager(repository) as manager,
        client_of(create_app(manager, callers=Callers(keys))) as client,
    ):
        yield client, keys
    await repository.close()


async def test_the_same_key_of_two_callers_names_two_requests(
    guarded: tuple[httpx.AsyncClient, Keys],
) -> None:
    client, keys = guarded
    made = []
    for _ in range(2):
        key = NewKey.of("gateway", ["operate"])
        await keys.add(key, None, None)
        headers = named('"the same"') | {"Authorization": f"Bearer {key.token}"}
        made.append((await client.post("/sessions", headers=headers)).json()["session_id"])
        again = await client.post("/sessions", headers=headers)
        assert again.json()["session_id"] == made[-1]
    assert made[0] != made[1]
