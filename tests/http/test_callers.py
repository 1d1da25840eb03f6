"""Who is let in, and what for: keys, their scopes, and the service without any key."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from session_router.access import callers as callers_module
from session_router.access.callers import Callers
from session_router.errors import ServeError
from session_router.http import create_app, serve
from session_router.settings import Settings
from tests.http.conftest import client_of
from tests.support.trail import events
from tests.support.waiting import eventually

STREAM = "8d8ac610-566d-4ef0-9c22-186b2a5ed793"
AGENT = "/sessions/s/agents/writer/a"
ROUTES = {
    "read": [
        ("GET", "/sessions"),
        ("GET", "/sessions/s"),
        ("GET", "/sessions/s/events"),
        ("GET", "/sessions/s/streams"),
        ("GET", f"/sessions/s/streams/{STREAM}"),
        ("GET", f"/interrupts/{STREAM}"),
        ("GET", "/metrics"),
    ],
    "operate": [
        ("POST", "/sessions"),
        ("PUT", "/sessions/s"),
        ("DELETE", "/sessions/s"),
        ("POST", "/sessions/s/interrupt"),
        ("POST", f"/sessions/s/streams/{STREAM}/interrupt"),
        ("POST", "/interrupts"),
    ],
    "agent": [
        ("PUT", AGENT),
        ("DELETE", f"{AGENT}?stream_id={STREAM}"),
        ("POST", "/workers"),
        ("POST", f"/workers/{STREAM}/heartbeat"),
        ("GET", f"/workers/{STREAM}/signals"),
        ("POST", f"/workers/{STREAM}/settlements"),
        ("DELETE", f"/workers/{STREAM}"),
    ],
}
TOUCH = "/sessions/s/touch"


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
    async with (
        SessionManager(repository) as manager,
        client_of(create_app(manager, callers=Callers(keys))) as client,
    ):
        yield client


async def made(
    keys: Keys, *scopes: str, expires_in: timedelta | None = None, name: str = "gateway"
) -> dict[str, str]:
    """The header that a new key's owner sends."""
    key = NewKey.of(name, scopes)
    await keys.add(key, expires_in, None)
    return {"Authorization": f"Bearer {key.token}"}


async def test_without_any_key_nobody_is_asked_for_one(client: httpx.AsyncClient) -> None:
    assert (await client.put("/sessions/s")).status_code == 200


async def test_a_key_opens_the_routes_of_its_scopes_and_no_others(
    client: httpx.AsyncClient, keys: Keys, repository: SQLAlchemySessionRepository
) -> None:
    for scope in ROUTES:
        header = await made(keys, scope)
        for needed, routes in ROUTES.items():
            for method, path in routes:
                answer = await client.request(
                    method, path, headers=header, json={} if method == "POST" else None
                )
                if needed == scope:
                    assert answer.status_code not in (401, 403), (scope, method, path)
                    continue
                assert answer.status_code == 403, (scope, method, path)
                assert answer.json()["type"] == "urn:session-router:problem:forbidden"
                assert f'scope="{needed}"' in answer.headers["www-authenticate"]
                assert f"--scope {needed}" in answer.json()["detail"]
        touched = await client.post(TOUCH, headers=header)
        assert (touched.status_code == 403) == (scope not in ("operate", "agent"))
    assert {e.actor for e in await events(repository, "interrupt_requested")} <= {"gateway"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic Z2F0ZXdheTpwYXNz",
        "Bearer",
        "Bearer sr_0123456789ab",
        f"Bearer sr_0123456789ab_{'a' * 43}",
        f"Bearer {'x' * 4_000}",
    ],
)
async def test_who_has_no_good_key_is_refused_and_nothing_is_written(
    client: httpx.AsyncClient,
    keys: Keys,
    repository: SQLAlchemySessionRepository,
    authorization: str | None,
) -> None:
    await made(keys, "read")
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in (each for routes in ROUTES.values() for each in routes):
        answer = await client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["type"] == "urn:session-router:problem:unauthenticated"
        assert answer.headers["www-authenticate"].startswith('Bearer realm="session_router"')
        assert "session-router keys create" in answer.json()["detail"]
    assert await events(repository) == []
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert (await client.get(path, headers=headers)).status_code == 200


async def test_a_key_that_is_revoked_or_expired_is_refused(
    client: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_FRESH_SEC", 0.05)
    short = await made(keys, "read", expires_in=timedelta(seconds=1))
    header = await made(keys, "read")
    [_, (key_id)] = [key.key_id for key in await keys.all()]
    assert (await client.get("/sessions", headers=header)).status_code == 200
    await keys.revoke(key_id, None)

    async def are_refused() -> bool:
        answers = [await client.get("/sessions", headers=each) for each in (short, header)]
        return all(answer.status_code == 401 for answer in answers)

    await eventually(are_refused)


async def test_the_first_key_closes_a_service_that_runs(
    client: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_FRESH_SEC", 0.05)
    assert (await client.get("/sessions")).status_code == 200
    await made(keys, "read")

    async def is_closed() -> bool:
        return (await client.get("/sessions")).status_code == 401

    await eventually(is_closed)


async def test_the_actor_is_the_keys_name_and_what_the_caller_adds(
    client: httpx.AsyncClient, keys: Keys, repository: SQLAlchemySessionRepository
) -> None:
    header = await made(keys, "operate", "agent")
    await client.put(AGENT, headers=header)
    await client.post("/sessions/s/interrupt", json={"actor": "ann"}, headers=header)
    await client.post("/sessions/s/interrupt", headers=header)
    await client.delete("/sessions/s", params={"actor": "bob"}, headers=header)
    acted = [(e.event, e.actor) for e in await events(repository) if e.actor is not None]
    assert acted == [
        ("session_started", "gateway"),
        ("stream_started", "gateway"),
        ("interrupt_requested", "gateway: ann"),
        ("interrupt_requested", "gateway"),
        ("session_ended", "gateway: bob"),
    ]
    assert await repository.list_streams("s") == []


async def test_a_story_tells_the_names_of_all_keys_that_had_a_part_in_it(
    client: httpx.AsyncClient, keys: Keys, repository: SQLAlchemySessionRepository
) -> None:
    agent, chat = await made(keys, "agent", name="node"), await made(keys, "operate", name="chat")
    worker = (await client.post("/workers", headers=agent)).json()["worker_id"]
    await client.put(AGENT, json={"worker_id": worker}, headers=agent)
    await client.post("/sessions/s/interrupt", headers=chat)
    await client.put("/sessions/t", headers=chat)
    await client.post("/sessions", json={"session_id": "t"}, headers=chat)
    told = [(e.session_id, e.event, e.actor) for e in await events(repository) if e.actor]
    assert told == [
        ("s", "session_started", "node"),
        ("s", "stream_started", "node"),
        ("s", "interrupt_requested", "chat"),
        ("t", "session_started", "chat"),
        ("t", "session_replaced", "chat"),
        ("t", "session_started", "chat"),
    ]


async def test_an_actor_of_the_longest_kind_has_room_beside_the_keys_name(
    client: httpx.AsyncClient, keys: Keys, repository: SQLAlchemySessionRepository
) -> None:
    header = await made(keys, "operate")
    await client.put("/sessions/s", headers=header)
    answer = await client.delete("/sessions/s", params={"actor": "x" * 2_000}, headers=header)
    assert answer.status_code == 204
    [ended] = await events(repository, "session_ended")
    assert ended.actor is not None
    assert (len(ended.actor), ended.actor[:11], ended.actor[-1]) == (2_000, "gateway: xx", "…")
    for wrong in ("x" * 2_001, "\0"):
        refused = await client.delete("/sessions/s", params={"actor": wrong}, headers=header)
        assert refused.status_code == 400


async def test_beyond_this_machine_nobody_is_served_without_a_key(
    sqlite_url: str,
) -> None:
    settings = Settings(database_url=sqlite_url, http_host="0.0.0.0", http_port=0)  # noqa: S104 - refused
    with pytest.raises(ServeError, match=r"0\.0\.0\.0.*session-router keys create"):
        await asyncio.wait_for(serve(settings), 30)
