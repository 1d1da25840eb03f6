"""Keys are made, found and revoked; the database knows no secret, and forgets no key."""

import re
from datetime import timedelta

import pytest

from session_router import InvalidValueError, SessionRouterError
from session_router.access import Keys, NewKey, Scope
from session_router.access.keys import hash_of, parts_of
from session_router.audit.keys import NO_KEYS
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from tests.audit.conftest import tamper
from tests.support.by_hand import execute
from tests.support.sql import query


def test_a_token_names_its_key_and_holds_256_random_bits() -> None:
    made = [NewKey.of("gateway", ["read"]) for _ in range(100)]
    assert all(re.fullmatch(r"sr_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key.token) for key in made)
    assert len({key.token.split("_", 2)[2] for key in made}) == 100
    for key in made:
        assert parts_of(key.token) == (key.key_id, key.token.split("_", 2)[2])
        assert key.secret_hash == hash_of(key.token.split("_", 2)[2])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sr_",
        "sr_0123456789ab_short",
        f"sk_0123456789ab_{'a' * 43}",
        f"sr_0123456789ab_{'é' * 43}",
        f"sr_0123456789ab_{'a' * 44}",
        f"sr_0123456789AB_{'a' * 43}",
        f" sr_0123456789ab_{'a' * 43}",
    ],
)
def test_what_is_no_token_is_none(token: str) -> None:
    assert parts_of(token) is None


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("a\0", ["read"]), ("a", []), ("a", ["read", "write"])]
)
def test_a_key_without_a_name_or_a_scope_is_refused(name: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidValueError):
        NewKey.of(name, scopes)


async def test_a_key_opens_with_its_secret_until_it_is_revoked(keys: Keys) -> None:
    assert not await keys.are_there()
    new, other = NewKey.of("gateway", ["operate", "read"]), NewKey.of("gateway", ["admin"])
    stored = await keys.add(new, None, "ann")
    await keys.add(other, None, "ann")

    found, now = await keys.find(new.key_id)

    assert found == stored
    assert found.scopes == {Scope.READ, Scope.OPERATE}
    (_, secret), (_, wrong) = (parts_of(key.token) or ("", "") for key in (new, other))
    assert found.opens(secret, now)
    assert not found.opens(wrong, now)
    revoked = await keys.revoke(new.key_id, "bob")
    assert revoked is not None
    assert await keys.revoke(new.key_id, "eve") == revoked
    found, now = await keys.find(new.key_id)
    assert found == revoked
    assert not found.opens(secret, now)
    assert [key.key_id for key in await keys.all()] == [new.key_id, other.key_id]
    assert await keys.are_there()
    assert await keys.revoke("0123456789ab", "bob") is None
    assert (await keys.find("0123456789ab"))[0] is None


async def test_a_key_expires_by_the_databases_clock(keys: Keys) -> None:
    new = NewKey.of("gateway", ["read"])
    stored = await keys.add(new, timedelta(days=90), None)
    (_, secret) = parts_of(new.token) or ("", "")
    assert stored.expires_at == stored.created_at + timedelta(days=90)
    assert stored.opens(secret, stored.expires_at - timedelta(microseconds=1))
    assert not stored.opens(secret, stored.expires_at)


async def test_no_secret_is_in_the_database_and_each_change_is_recorded(
    keys: Keys, database_url: str
) -> None:
    new = NewKey.of("gateway", ["read"])
    await keys.add(new, None, "ann")
    await keys.revoke(new.key_id, "bob")
    (_, secret) = parts_of(new.token) or ("", "")
    told = await query(
        database_url, "SELECT event, key_id, name, scopes, actor FROM session_router.key_events"
    )
    assert sorted(map(tuple, told)) == [
        ("key_created", new.key_id, "gateway", "read", "ann"),
        ("key_revoked", new.key_id, "gateway", "read", "bob"),
    ]
    for table in ("api_keys", "key_events"):
        rows = await query(database_url, f"SELECT * FROM session_router.{table}")
        assert secret not in str([*map(tuple, rows)])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session_router.key_events SET name = 'somebody'",
        "DELETE FROM session_router.key_events",
    ],
)
async def test_the_record_of_keys_refuses_change(
    keys: Keys, database_url: str, change: str
) -> None:
    await keys.add(NewKey.of("gateway", ["read"]), None, "ann")
    with pytest.raises(Exception, match=r"append-only|is refused"):
        await query(database_url, change)
    assert len(await query(database_url, "SELECT * FROM session_router.key_events")) == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE {s}api_keys SET scopes = 'read operate agent admin'", "altered: scopes"),
        ("UPDATE {s}api_keys SET secret_hash = 'mine'", "altered: secret_hash"),
        ("UPDATE {s}api_keys SET revoked_at = NULL", "altered: revoked_at"),
        ("DELETE FROM {s}api_keys", "gone"),
        ("DELETE FROM {s}key_events WHERE event = 'key_created'", "not recorded"),
        ("DELETE FROM {s}key_events WHERE event = 'key_revoked'", "altered: revoked_at"),
    ],
)
async def test_a_key_that_was_altered_by_hand_is_found(
    keys: Keys, database_url: str, change: str, fault: str
) -> None:
    new = NewKey.of("gateway", ["read"])
    await keys.add(new, None, "ann")
    await keys.revoke(new.key_id, "ann")
    async with Trail.opened(database_url) as trail:
        assert (await verify(trail, NO_KEYS)).violations == []
        schema = "" if database_url.startswith("sqlite") else "session_router."
        await tamper(database_url, change.format(s=schema))
        [violation] = (await verify(trail, NO_KEYS)).violations
    assert (violation.law, violation.id) == ("keys", new.key_id)
    assert violation.counts == {"found": fault}


async def test_a_key_that_was_inserted_by_hand_is_found(keys: Keys, database_url: str) -> None:
    schema = "" if database_url.startswith("sqlite") else "session_router."
    moment = "'2026-01-01 00:00:00.000000'"
    await execute(
        database_url,
        f"INSERT INTO {schema}api_keys (key_id, name, secret_hash, scopes, created_at) "
        f"VALUES ('0123456789ab', 'mallory', 'hash', 'admin', {moment})",
        "SELECT 1",
    )
    async with Trail.opened(database_url) as trail:
        [violation] = (await verify(trail, NO_KEYS)).violations
    assert violation.counts == {"found": "not recorded"}


async def test_keys_need_tables(empty_url: str) -> None:
    async with Keys.opened(empty_url) as keys:
        with pytest.raises(SessionRouterError):
            await keys.are_there()
