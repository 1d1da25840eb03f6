"""Keys with owners: each sees and does what is of its owner's sessions, and nothing else."""

import httpx
import pytest

from session_router import SQLAlchemySessionRepository
from session_router.access import Keys, NewKey
from tests.http.test_callers import client, keys, repository
from tests.support.trail import events

__all__ = ["client", "keys", "repository"]

Header = dict[str, str]
AGENT = "/sessions/s/agents/writer/a"


async def key_for(keys: Keys, owner: str | None) -> Header:
    key = NewKey.of(f"gateway of {owner}", ["read", "operate", "agent"], owner)
    await keys.add(key, None, None)
    return {"Authorization": f"Bearer {key.token}"}


@pytest.fixture
async def acme(keys: Keys) -> Header:
    return await key_for(keys, "acme")


@pytest.fixture
async def other(keys: Keys) -> Header:
    return await key_for(keys, "other")


@pytest.fixture
async def anybody(keys: Keys) -> Header:
    return await key_for(keys, None)


async def test_what_a_key_starts_is_its_owners(
    client: httpx.AsyncClient, acme: Header, anybody: Header
) -> None:
    started = await client.put("/sessions/a", headers=acme)
    fresh = await client.post("/sessions", json={"session_id": "b"}, headers=acme)
    await client.put("/sessions/c/agents/writer/a", headers=acme)
    named = await client.put("/sessions/d", json={"owner": "acme"}, headers=anybody)
    timed = await client.put("/sessions/e", json={"timeout_minutes": 5}, headers=acme)
    assert [each.json()["owner"] for each in (started, fresh, named, timed)] == ["acme"] * 4
    assert timed.json()["timeout_minutes"] == 5
    await client.put("/sessions/f", headers=anybody)
    for header, path in ((acme, "/sessions"), (anybody, "/sessions?owner=acme")):
        listed = (await client.get(path, headers=header)).json()["items"]
        assert [session["session_id"] for session in listed] == ["a", "b", "c", "d", "e"]


async def test_another_owners_start_of_a_live_id_is_refused_without_a_word_of_whose_it_is(
    client: httpx.AsyncClient,
    repository: SQLAlchemySessionRepository,
    acme: Header,
    other: Header,
) -> None:
    await client.put("/sessions/s", headers=acme)
    before = await events(repository)
    for refused in (
        await client.put("/sessions/s", headers=other),
        await client.post("/sessions", json={"session_id": "s"}, headers=other),
        await client.put(AGENT, headers=other),
    ):
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:session-router:problem:session-owned"
        assert "acme" not in refused.text
    assert await events(repository) == before


async def test_another_owners_sessions_are_not_found(
    client: httpx.AsyncClient,
    repository: SQLAlchemySessionRepository,
    acme: Header,
    other: Header,
) -> None:
    await client.put(AGENT, headers=acme)
    asked = await client.post("/sessions/s/interrupt", headers=acme)
    receipts = asked.headers["location"]
    stream = (await client.put(AGENT, headers=acme)).json()["stream_id"]
    before = await events(repository)
    for method, path in (
        ("GET", "/sessions/s"),
        ("DELETE", "/sessions/s"),
        ("POST", "/sessions/s/touch"),
        ("POST", "/sessions/s/interrupt"),
        ("POST", f"/sessions/s/streams/{stream}/interrupt"),
        ("GET", f"/sessions/s/streams/{stream}"),
        ("GET", receipts),
    ):
        there = await client.request(method, path, headers=other)
        assert there.status_code == 404, (method, path, there.text)
    for path in ("/sessions", "/sessions/s/events", "/sessions/s/streams"):
        assert (await client.get(path, headers=other)).json()["items"] == []
    ended = await client.delete(f"{AGENT}?stream_id={stream}", headers=other)
    assert ended.status_code == 204
    stopped = await client.post("/interrupts", json={}, headers=other)
    assert (stopped.json()["sessions"], stopped.json()["streams"]) == (0, 0)
    assert await events(repository) == before
    assert (await client.get(receipts, headers=acme)).status_code == 200
    assert len((await client.get("/sessions/s/events", headers=acme)).json()["items"]) > 3


async def test_a_key_names_no_other_owner(client: httpx.AsyncClient, acme: Header) -> None:
    for refused in (
        await client.put("/sessions/s", json={"owner": "other"}, headers=acme),
        await client.post("/sessions", json={"owner": "other"}, headers=acme),
        await client.post("/interrupts", json={"owner": "other"}, headers=acme),
        await client.get("/sessions?owner=other", headers=acme),
    ):
        assert refused.status_code == 403
        assert "'acme' only" in refused.json()["detail"]
    assert (await client.get("/sessions?owner=acme", headers=acme)).status_code == 200
    assert (await client.put("/sessions/s", json={"owner": "acme"}, headers=acme)).is_success


async def test_what_one_owner_repeats_is_not_told_to_another(
    client: httpx.AsyncClient, acme: Header, other: Header
) -> None:
    fresh = {"session_id": "s"}
    for key in ('"the same"', "6a1b0a8e-5b4d-4c6c-9a50-02a4dc0c2a11"):
        named = {"Idempotency-Key": key}
        first = await client.post("/sessions", json=fresh, headers=acme | named)
        assert (await client.post("/sessions", json=fresh, headers=acme | named)).json() == (
            first.json()
        )
        refused = await client.post("/sessions", json=fresh, headers=other | named)
        # A name that is no UUID is another one of each key; a UUID is one for all.
        problem = "session-owned" if key == '"the same"' else "idempotency-key-reused"
        assert refused.json()["type"] == f"urn:session-router:problem:{problem}"
        assert "acme" not in refused.text
        await client.delete("/sessions/s", headers=acme)
        theirs = await client.post("/sessions", json=fresh, headers=other)
        again = await client.post("/sessions", json=fresh, headers=acme | named)
        assert (theirs.json()["owner"], again.json()) == ("other", first.json())
        await client.delete("/sessions/s", headers=other)


@pytest.mark.parametrize("owner", ["", "x" * 256, "nul\0"])
async def test_an_owner_that_cannot_be_one_is_refused(
    client: httpx.AsyncClient, repository: SQLAlchemySessionRepository, owner: str
) -> None:
    for refused in (
        await client.put("/sessions/s", json={"owner": owner}),
        await client.post("/interrupts", json={"owner": owner}),
        await client.get("/sessions", params={"owner": owner}),
    ):
        assert refused.status_code == 400
        assert "owner" in refused.json()["detail"]
    assert await events(repository) == []


@pytest.mark.parametrize("minutes", [0, -1, 1e12, "soon"])
async def test_a_timeout_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, repository: SQLAlchemySessionRepository, minutes: object
) -> None:
    refused = await client.put("/sessions/s", json={"timeout_minutes": minutes})
    assert refused.status_code == 400
    assert "timeout_minutes" in refused.json()["detail"]
    assert await events(repository) == []
