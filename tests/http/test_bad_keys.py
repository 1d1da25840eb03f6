"""Keys that are none, are over, or are for something else: each a clear problem, nothing done."""

import hmac
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.access import ApiKey, Keys, NewKey
from session_router.access import callers as callers_module
from session_router.access.callers import Callers
from session_router.http import create_app
from session_router.http.origins import Hosts
from tests.http.conftest import client_of
from tests.http.test_callers import ROUTES
from tests.http.test_problems import assert_problem
from tests.support.trail import events

LOOPBACK = Hosts.of("", "127.0.0.1", ["127.0.0.1"])


class Watched(Keys):
    """Keys that count how often they are looked up."""

    lookups = 0

    async def find(self, key_id: str) -> tuple[ApiKey | None, datetime]:
        self.lookups += 1
        return await super().find(key_id)


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    made = SQLAlchemySessionRepository.from_url(database_url)
    yield made
    await made.close()


@pytest.fixture
def keys(repository: SQLAlchemySessionRepository) -> Watched:
    return Watched(repository.engine)


@pytest.fixture
async def client(
    repository: SQLAlchemySessionRepository, keys: Watched
) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        SessionManager(repository) as manager,
        client_of(create_app(manager, callers=Callers(keys), hosts=LOOPBACK)) as client,
    ):
        client.headers["host"] = "127.0.0.1"
        yield client


async def tokens(keys: Keys) -> dict[str, str]:
    """A token of each kind that is refused, and a good one."""
    made = {}
    for kind in ("good", "expired", "revoked"):
        key = NewKey.of(kind, ["read", "operate", "agent"])
        is_short = kind == "expired"
        await keys.add(key, timedelta(microseconds=1) if is_short else None, None)
        made[kind] = key.token
        if kind == "revoked":
            await keys.revoke(key.key_id, None)
    good = made["good"]
    made["wrong"] = good[:-8] + ("A" * 8 if good[-8:] != "A" * 8 else "B" * 8)
    made["unknown"] = NewKey.of("nobody", ["read"]).token
    return made


MALFORMED = ["", "sr_", "sr_x_y", "sr_0123456789AB_" + "a" * 43, "sr_0123456789ab_" + "a" * 42]


async def test_every_kind_of_bad_key_is_refused_alike_and_nothing_is_done(
    client: httpx.AsyncClient, keys: Watched, repository: SQLAlchemySessionRepository
) -> None:
    made = await tokens(keys)
    told = set()
    for kind in ("expired", "revoked", "wrong", "unknown"):
        for method, path in (each for routes in ROUTES.values() for each in routes):
            sent = {"Authorization": f"Bearer {made[kind]}"}
            answer = await client.request(method, path, headers=sent)
            document = assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"] == (
                'Bearer realm="session_router", error="invalid_token"'
            )
            told.add(document["detail"])
    assert len(told) == 1  # who guesses does not learn which of these it is
    for token in MALFORMED:
        answer = await client.put("/sessions/s", headers={"Authorization": f"Bearer {token}"})
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="session_router"')
    assert await events(repository) == []
    sent = {"Authorization": f"bearer {made['good']}"}
    assert (await client.put("/sessions/s", headers=sent)).status_code == 200


async def test_a_key_is_taken_from_its_header_only(client: httpx.AsyncClient, keys: Keys) -> None:
    good = (await tokens(keys))["good"]
    for path in (f"/sessions?access_token={good}", f"/sessions?key={good}"):
        assert_problem(await client.get(path), 401, "unauthenticated")
    for header in ({"X-Api-Key": good}, {"Cookie": f"key={good}"}, {"Authorization": good}):
        assert_problem(await client.get("/sessions", headers=header), 401, "unauthenticated")


async def test_a_key_of_another_scope_does_nothing(
    client: httpx.AsyncClient, keys: Watched, repository: SQLAlchemySessionRepository
) -> None:
    key = NewKey.of("nothing yet", ["admin"])
    await keys.add(key, None, None)
    sent = {"Authorization": f"Bearer {key.token}", "Idempotency-Key": '"k"'}
    for scope, routes in ROUTES.items():
        for method, path in routes:
            answer = await client.request(method, path, headers=sent)
            assert_problem(answer, 403, "forbidden")
            assert answer.headers["WWW-Authenticate"] == (
                f'Bearer realm="session_router", error="insufficient_scope", scope="{scope}"'
            )
    assert await events(repository) == []


@pytest.mark.parametrize("kind", [None, "good", "unknown"])
async def test_another_sites_page_and_a_strange_host_are_refused_before_any_key_is_looked_up(
    client: httpx.AsyncClient,
    keys: Watched,
    repository: SQLAlchemySessionRepository,
    kind: str | None,
) -> None:
    made = await tokens(keys)
    sent = {} if kind is None else {"Authorization": f"Bearer {made[kind]}"}
    strange = await client.get("/sessions", headers=sent | {"Host": "evil.example"})
    assert_problem(strange, 421, "wrong-host")
    for page in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for method, path in ROUTES["operate"]:
            answer = await client.request(method, path, headers=sent | page)
            assert_problem(answer, 403, "cross-site")
    assert keys.lookups == 0
    assert await events(repository) == []


async def test_whatever_is_wrong_with_a_token_the_same_is_done(
    keys: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lookup, one comparison of digests in constant time: of that, time could tell nothing."""
    made = await tokens(keys)
    compared: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def watched(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    done = {}
    for kind, token in made.items():
        callers, keys.lookups = Callers(keys), 0
        compared.clear()
        caller = await callers.caller_of(token)
        assert (caller is not None) == (kind == "good")
        done[kind] = (keys.lookups, [(len(a), len(b)) for a, b in compared])
        # Known now, also what is not there: once more there is no lookup, for none of them.
        await callers.caller_of(token)
        assert keys.lookups == 1
    assert done == dict.fromkeys(made, (1, [(64, 64)]))


async def test_a_flood_of_ids_that_nobody_has_pushes_out_no_key(
    keys: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_KNOWN_LIMIT", 10)
    monkeypatch.setattr(callers_module, "_FRESH_SEC", 3_600)
    good = NewKey.of("gateway", ["read"])
    await keys.add(good, None, None)
    callers = Callers(keys)
    assert await callers.caller_of(good.token) is not None
    for _ in range(30):
        assert await callers.caller_of(NewKey.of("nobody", ["read"]).token) is None
    keys.lookups = 0
    assert await callers.caller_of(good.token) is not None
    assert keys.lookups == 0
