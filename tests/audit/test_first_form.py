"""Seals of before revision 0016: keyed digests, which hold on beside those of now."""

from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import select

from session_router import InvalidSettingError, SessionManager, SQLAlchemySessionRepository
from session_router.audit import first_digests
from session_router.audit.digests import digest_of
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys, PrivateKey
from session_router.audit.retention import prune
from session_router.audit.seals import Seal, seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.pseudonyms import ErasureKey
from tests.audit.conftest import KEY, inserted, tamper
from tests.audit.test_signed_seals import laws_told, soon
from tests.support.by_hand import execute

BEFORE = ErasureKey(KEY)
PRIVATE = PrivateKey("4" * 64)
EVENTS = "session_router.session_events"
SIGNERS = [
    pytest.param(AuditKeys(BEFORE), id="the erasure key"),
    pytest.param(AuditKeys(BEFORE, PRIVATE), id="signed"),
]


@pytest.fixture
async def old(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> SQLAlchemySessionRepository:
    """A trail under one seal, as a release before made it."""
    t = trail.tables
    async with trail.reading() as conn:
        found = await first_digests.read_portions(conn, t, BEFORE, t.session_events.c.event_id > 0)
        newest = await trail.newest(conn)
    whole = digest_of(found)
    made = Seal(
        seal_id=1,
        first_event_id=1,
        last_event_id=newest,
        events=whole.events,
        digest=whole.digest,
        chain="",
        key_id=BEFORE.key_id,
        sealed_at=datetime.now(UTC),
    )
    signer = AuditKeys(BEFORE).signer()
    chained = made.model_copy(update={"chain": signer.sign(made.signed(""))})
    await tamper(database_url, inserted(chained))
    return stories


async def changes(trail: Trail) -> int:
    async with trail.reading() as conn:
        return len((await conn.execute(select(trail.tables.sealed_changes))).all())


@pytest.mark.parametrize("keys", SIGNERS)
async def test_they_hold_and_others_follow(
    old: SQLAlchemySessionRepository, trail: Trail, database_url: str, keys: AuditKeys
) -> None:
    assert await laws_told(trail, keys) == []
    await SessionManager(old).start_session("more")
    [made] = await seal(trail, keys)
    assert (made.seal_id, made.digest[:2]) == (2, "2:")
    assert await laws_told(trail, keys) == []

    await tamper(database_url, f"UPDATE {EVENTS} SET actor = 'eve' WHERE session_id = 'over'")
    assert await laws_told(trail, keys) == ["seal"]


@pytest.mark.parametrize("keys", SIGNERS)
async def test_what_they_cover_is_erased_and_pruned(
    old: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    assert await erase(trail, "over", keys) is not None
    assert await changes(trail) == 0, "pseudonyms of the same key change no such digest"
    assert await laws_told(trail, keys) == []
    assert (await prune(trail, soon(), keys)).stories == 1
    assert await changes(trail) == 1
    await seal(trail, keys)
    assert await laws_told(trail, keys) == []


async def test_what_they_cover_is_erased_with_another_erasure_key(
    old: SQLAlchemySessionRepository, trail: Trail
) -> None:
    fresh = ErasureKey("the erasure key of a new year, as long as need be")
    with pytest.raises(InvalidSettingError, match=BEFORE.key_id):
        await erase(trail, "over", AuditKeys(fresh))
    keys = AuditKeys(fresh, former=[BEFORE])
    assert await erase(trail, "over", keys) is not None
    assert await laws_told(trail, keys) == []
    await seal(trail, keys)
    assert (await prune(trail, soon(), keys)).stories == 1
    assert await laws_told(trail, keys) == []


async def test_what_was_pruned_then_is_known_still(
    old: SQLAlchemySessionRepository, trail: Trail, database_url: str, keys: AuditKeys
) -> None:
    t = trail.tables
    [event, *_] = await old.list_events("over")
    of_story = t.session_events.c.session_uid == event.session_uid
    async with trail.reading() as conn:
        [left] = (await first_digests.read_portions(conn, t, BEFORE, of_story)).values()
    request = "22222222-2222-2222-2222-222222222222"
    await tamper(
        database_url,
        f"DELETE FROM {EVENTS} WHERE session_id = 'over'",
        "INSERT INTO session_router.pruned_stories "
        "(seal_id, session_uid, events, digest, request_id) VALUES "
        f"(1, '{event.session_uid}', {left.events}, '{left.digest}', '{request}')",
        f"INSERT INTO {EVENTS} (session_id, session_uid, event, request_id, detail) VALUES "
        "('', '00000000-0000-0000-0000-000000000000', 'trail_pruned', "
        f"'{request}', '{{\"events\": {left.events}}}')",
    )
    assert await laws_told(trail, keys) == []


async def test_who_has_the_public_key_only_is_told_that_they_were_not_checked(
    old: SQLAlchemySessionRepository, trail: Trail
) -> None:
    await SessionManager(old).start_session("more")
    await seal(trail, AuditKeys(BEFORE, PRIVATE))
    found = await verify(trail, AuditKeys(public=[PRIVATE.public]))
    assert (found.violations, [each.seal_id for each in found.unchecked]) == ([], [1])


async def test_code_of_before_neither_prunes_nor_erases_nor_seals(postgres_url: str) -> None:
    """It would sign nothing, so it finds nothing to call."""
    s = "session_router"
    for call in (
        f"{s}.prune_trail('{{}}'::uuid[], '{{}}'::text[], now(), gen_random_uuid(), 'x'::text)",
        (
            f"{s}.erase_events('{{}}'::bigint[], 'x'::text, '{{}}'::text[], '{{}}'::text[], "
            "'{}'::text[], gen_random_uuid(), 'x'::text)"
        ),
        f"{s}.leave_digests('{{}}', '{{}}', '{{}}', '{{}}', '{{}}', gen_random_uuid())",
    ):
        with pytest.raises(asyncpg.UndefinedFunctionError):
            await execute(postgres_url, f"SELECT {call}")
    with pytest.raises(asyncpg.CheckViolationError):
        await execute(
            postgres_url,
            f"SELECT {s}.seal_trail(1, 1, 1, 1, repeat('0', 64), repeat('0', 64), "
            "repeat('0', 16), now())",
        )
