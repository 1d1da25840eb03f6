"""`session-router keys`: made, shown once, listed, revoked."""

import re

from session_router.access import Keys
from session_router.access.keys import parts_of
from tests.cli.program import Program
from tests.cli.test_sessions import program

__all__ = ["program"]


async def test_a_key_is_printed_once_listed_and_revoked(
    program: Program, database_url: str
) -> None:
    made = await program.call(
        *("keys", "create", "gateway", "--scope", "read", "--scope", "operate"),
        *("--expires", "90d", "--actor", "ann"),
    )
    assert made.code == 0
    assert re.fullmatch(r"sr_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", made.out)
    key_id, secret = parts_of(made.out.strip()) or ("", "")
    assert key_id in made.err
    assert secret not in made.err
    listed = await program.call("keys", "list", "--json")
    assert secret not in listed.out
    assert listed.json["key_id"] == key_id
    assert listed.json["scopes"] == ["read", "operate"]
    assert listed.json["revoked_at"] is None

    revoked = await program.call("keys", "revoke", key_id)
    again = await program.call("keys", "revoke", key_id, "--json")

    assert (revoked.code, revoked.out) == (0, f"revoked: {key_id} of gateway\n")
    assert again.json["revoked_at"] is not None
    async with Keys.opened(database_url) as keys:
        [stored] = await keys.all()
    assert stored.revoked_at is not None


async def test_what_cannot_be_a_key_is_refused_and_nothing_is_made(program: Program) -> None:
    unknown = await program.call("keys", "create", "gateway", "--scope", "write")
    nameless = await program.call("keys", "create", "", "--scope", "read")
    timeless = await program.call("keys", "create", "a", "--scope", "read", "--expires", "soon")
    nobodys = await program.call("keys", "revoke", "0123456789ab")
    assert "give one of read, operate, agent, admin" in unknown.err
    assert "key's name" in nameless.err
    assert "90s" in timeless.err
    assert "keys list" in nobodys.err
    assert [each.code for each in (unknown, nameless, timeless, nobodys)] == [2, 2, 2, 1]
    assert (await program.call("keys", "list")).err == "there is no key\n"
