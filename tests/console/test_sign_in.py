"""Signing in: who is let in, for how long, and what the browser keeps of the key."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from session_router.access import Keys
from session_router.access import callers as callers_module
from session_router.access.keys import parts_of
from session_router.access.passes import Pass
from session_router.console.requests import COOKIE
from tests.console.conftest import key_for, post, sign_in
from tests.support.by_hand import execute
from tests.support.waiting import eventually

PAGES = ["", "overview", "streams", "workers", "history", "session?id=s", "story?id=s", "stop-all"]


async def test_without_any_key_nobody_is_asked_to_sign_in(client: httpx.AsyncClient) -> None:
    page = await client.get("/console/")
    assert page.status_code == 200
    assert "Sign out" not in page.text
    assert (await client.get("/console/sign-in")).headers["location"] == "./"


async def test_the_root_and_the_path_without_a_slash_lead_to_the_console(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/", "/console"):
        assert (await client.get(path)).headers["location"] == "/console/"


@pytest.mark.parametrize("page", PAGES)
async def test_with_the_first_key_every_page_asks_to_sign_in(
    client: httpx.AsyncClient, keys: Keys, page: str
) -> None:
    await key_for(keys)
    answer = await client.get(f"/console/{page}")
    assert (answer.status_code, answer.headers["location"]) == (303, "sign-in")
    part = await client.get(f"/console/{page}", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "sign-in")
    assert (await client.get("/console/sign-in")).status_code == 200


async def test_a_key_lets_in_and_its_name_is_shown(client: httpx.AsyncClient, keys: Keys) -> None:
    await sign_in(client, await key_for(keys))
    page = await client.get("/console/")
    assert page.status_code == 200
    assert "Ann on call" in page.text


async def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_other_paths(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    key = await key_for(keys)
    told = (await sign_in(client, key)).headers["set-cookie"]
    assert told.startswith(f"{COOKIE}={key.key_id}.")
    for said in ("HttpOnly", "SameSite=strict", "Path=/console/", "Max-Age=43200"):
        assert said in told
    assert "Secure" not in told
    behind_tls = await post(
        client, "sign-in", {"Origin": "https://test", "Host": "test"}, key=key.token
    )
    assert "Secure" in behind_tls.headers["set-cookie"]


async def test_the_cookie_does_not_tell_the_key(client: httpx.AsyncClient, keys: Keys) -> None:
    key = await key_for(keys)
    told = (await sign_in(client, key)).headers["set-cookie"]
    assert key.token.rpartition("_")[2] not in told
    assert key.secret_hash not in told
    written = client.cookies[COOKIE]
    for token in (written, f"sr_{key.key_id}_{written.rpartition('.')[2]}"):
        refused = await client.get("/sessions", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401


async def test_a_pass_that_is_altered_or_expired_lets_nobody_in(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    key = await key_for(keys)
    parts = parts_of(key.token)
    assert parts is not None
    now = datetime.now(UTC)
    good = Pass.of(*parts, now + timedelta(hours=1))
    key_id, expires, nonce, masked = good.written().split(".")
    later = str(int(expires) + 3_600)
    other = ("B" if masked[0] == "A" else "A") + masked[1:]
    for written in (
        Pass.of(*parts, now - timedelta(seconds=5)).written(),
        ".".join([key_id, later, nonce, masked]),
        ".".join([key_id, expires, nonce, other]),
        ".".join([key_id, expires, nonce[::-1], masked]),
        ".".join(["0" * 12, expires, nonce, masked]),
        key.token,
        "nonsense",
        "",
    ):
        client.cookies.set(COOKIE, written, path="/console/")
        assert (await client.get("/console/")).status_code == 303, written
        client.cookies.clear()
    client.cookies.set(COOKIE, good.written(), path="/console/")
    assert (await client.get("/console/")).status_code == 200


async def test_who_reads_the_database_cannot_make_a_pass(
    client: httpx.AsyncClient, keys: Keys
) -> None:
    """What the database has of a key is its hash; used as the secret it opens nothing."""
    key = await key_for(keys)
    as_secret = parts_of(f"sr_{key.key_id}_{key.secret_hash[:43]}")
    assert as_secret is not None
    made = Pass.of(*as_secret, datetime.now(UTC) + timedelta(hours=1))
    client.cookies.set(COOKIE, made.written(), path="/console/")
    assert (await client.get("/console/")).status_code == 303


async def test_a_revoked_key_signs_out_within_the_time_that_it_is_known_for(
    client: httpx.AsyncClient, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_FRESH_SEC", 0.2)
    key = await key_for(keys)
    await sign_in(client, key)
    assert (await client.get("/console/")).status_code == 200
    await keys.revoke(key.key_id, None)

    async def is_out() -> bool:
        return (await client.get("/console/")).status_code == 303

    await eventually(is_out)


async def test_a_key_that_expires_signs_out(
    client: httpx.AsyncClient, keys: Keys, database_url: str
) -> None:
    key = await key_for(keys, expires_in=timedelta(hours=1))
    await sign_in(client, key)
    await execute(database_url, "UPDATE session_router.api_keys SET expires_at = created_at")

    async def is_out() -> bool:
        return (await client.get("/console/")).status_code == 303

    await eventually(is_out)


@pytest.mark.parametrize("given", ["", "nonsense", f"sr_{'0' * 12}_{'A' * 43}", "\0", "é"])
async def test_what_is_no_key_is_refused_in_words(
    client: httpx.AsyncClient, keys: Keys, given: str
) -> None:
    await key_for(keys)
    answer = await post(client, "sign-in", key=given)
    assert answer.status_code == 401
    assert answer.headers["hx-retarget"] == "#fault"
    assert "session-router keys create" in answer.text.replace("&#39;", "'")
    assert "set-cookie" not in answer.headers


async def test_signing_out_forgets_the_pass(client: httpx.AsyncClient, keys: Keys) -> None:
    await sign_in(client, await key_for(keys))
    answer = await post(client, "sign-out")
    assert answer.headers["hx-redirect"] == "sign-in"
    assert COOKIE not in client.cookies
    assert (await client.get("/console/")).status_code == 303
