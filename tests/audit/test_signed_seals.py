"""Seals that are signed: whoever has the public key checks them, and cannot make one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from session_router import InvalidSettingError, SessionManager, SQLAlchemySessionRepository
from session_router.audit.digests import Portion
from session_router.audit.erasure import erase, erase_again
from session_router.audit.kept_changes import Change
from session_router.audit.keys import AuditKeys, PrivateKey, PublicKey
from session_router.audit.retention import prune
from session_router.audit.seals import Seal, seal, seals
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.pseudonyms import ErasureKey
from tests.audit.conftest import KEY, inserted, tamper

ERASURE = ErasureKey(KEY)
FIRST, SECOND, STRANGERS = (PrivateKey(digit * 64) for digit in "123")
SIGNER = AuditKeys(ERASURE, FIRST)
AUDITOR = AuditKeys(public=[FIRST.public])
CHANGES = "session_router.sealed_changes"
SALTS = "session_router.story_salts"
EVENTS = "session_router.session_events"


async def laws_told(trail: Trail, keys: AuditKeys = AUDITOR) -> list[str]:
    return [violation.law for violation in (await verify(trail, keys)).violations]


async def more(stories: SQLAlchemySessionRepository, name: str) -> None:
    await SessionManager(stories).start_session(name)
    await SessionManager(stories).end_session(name, actor="bob")


async def seal_twice(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    first: AuditKeys = SIGNER,
    second: AuditKeys = SIGNER,
) -> tuple[Seal, Seal]:
    """Two seals, between which `more` began and ended."""
    [one] = await seal(trail, first)
    await more(stories, "more")
    [two] = await seal(trail, second)
    return one, two


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


async def test_the_public_key_is_enough_to_check_and_not_to_seal(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    [made] = await seal(trail, SIGNER)
    await more(stories, "more")

    found = await verify(trail, AUDITOR)
    assert (found.violations, found.sealed_until) == ([], made.last_event_id)
    assert (made.key_id, len(made.chain)) == (FIRST.key_id, 128)
    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_SEAL_KEY"):
        await seal(trail, AUDITOR)


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(AuditKeys(ERASURE, public=[FIRST.public]), id="the erasure key"),
        pytest.param(AuditKeys(ERASURE), id="the erasure key alone"),
        pytest.param(AuditKeys(ERASURE, STRANGERS), id="another key"),
    ],
)
async def test_what_is_signed_is_sealed_pruned_and_erased_by_who_may_sign(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, SIGNER)
    await more(stories, "more")
    before = await stories.list_events(limit=1_000)

    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_SEAL"):
        await seal(trail, keys)
    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_SEAL"):
        await prune(trail, soon(), keys)
    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_SEAL"):
        await erase(trail, "over", keys)

    assert await stories.list_events(limit=1_000) == before


async def test_what_was_erased_and_pruned_is_checked_by_the_public_key(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    await seal(trail, SIGNER)
    assert await erase(trail, "over", SIGNER) is not None
    assert await erase(trail, "stopped", SIGNER) is not None
    assert await laws_told(trail) == []
    await seal(trail, SIGNER)
    await more(stories, "stopped")
    await seal(trail, SIGNER)
    assert await erase(trail, "stopped", SIGNER) is not None
    assert await laws_told(trail) == []

    assert (await prune(trail, soon(), SIGNER)).stories == 3
    assert await laws_told(trail) == []
    async with trail.reading() as conn:
        left = (await conn.execute(select(trail.tables.story_salts))).all()
    assert len(left) == len({event.session_uid for event in await stories.list_events("live")})


async def test_an_erasure_leaves_no_salt_by_which_a_name_could_be_guessed(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    [event, *_] = await stories.list_events("over")
    await seal(trail, SIGNER)
    salt = select(trail.tables.story_salts.c.salt).where(
        trail.tables.story_salts.c.session_uid == event.session_uid
    )
    async with trail.reading() as conn:
        before = (await conn.execute(salt)).scalar_one()
    await erase(trail, "over", SIGNER)
    async with trail.reading() as conn:
        assert (await conn.execute(salt)).scalar_one() != before


async def test_a_new_key_follows_the_one_before(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    await seal(trail, SIGNER)
    await more(stories, "more")
    turned = AuditKeys(ERASURE, SECOND, [FIRST.public])
    await erase(trail, "over", turned)
    [made] = await seal(trail, turned)

    assert made.key_id == SECOND.key_id
    both = AuditKeys(public=[FIRST.public, SECOND.public])
    assert await laws_told(trail, both) == []
    found = (await verify(trail, AuditKeys(public=[SECOND.public]))).violations
    assert [each.law for each in found] == ["seal"]
    assert FIRST.key_id in str(found[0])
    assert "seal" in await laws_told(trail, AUDITOR)


async def test_nothing_is_pruned_or_erased_while_a_key_of_before_is_missing(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    await seal_twice(stories, trail, SIGNER, AuditKeys(ERASURE, SECOND, [FIRST.public]))
    before = await stories.list_events(limit=1_000)

    with pytest.raises(InvalidSettingError, match=FIRST.key_id):
        await prune(trail, soon(), AuditKeys(ERASURE, SECOND))
    with pytest.raises(InvalidSettingError, match=FIRST.key_id):
        await erase(trail, "over", AuditKeys(ERASURE, SECOND))

    assert await stories.list_events(limit=1_000) == before


async def test_signed_seals_follow_those_of_the_erasure_key(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    shared, signed = await seal_twice(stories, trail, AuditKeys(ERASURE))

    assert await laws_told(trail, SIGNER) == []
    found = await verify(trail, AUDITOR)
    assert (found.violations, found.unchecked, found.checked) == ([], [shared], 1)
    assert found.sealed_until == signed.last_event_id
    with pytest.raises(InvalidSettingError, match=shared.key_id):
        await prune(trail, soon(), AuditKeys(private=FIRST))

    await tamper(database_url, f"UPDATE {EVENTS} SET actor = 'eve' WHERE session_id = 'over'")
    assert await laws_told(trail, SIGNER) == ["seal"]


async def test_a_signed_seal_is_not_exchanged_for_one_that_nobody_checks(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    """As if it were one of an erasure key that the auditor lacks."""
    await seal_twice(stories, trail)
    await tamper(
        database_url,
        f"UPDATE {EVENTS} SET actor = 'eve' WHERE session_id = 'over'",
        "UPDATE session_router.audit_seals SET key_id = '0123456789abcdef' WHERE seal_id = 1",
    )
    assert await laws_told(trail) == ["seal"]
    assert await laws_told(trail, SIGNER) == ["seal"]


async def test_a_seal_of_the_erasure_key_is_not_exchanged_where_there_is_one(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    await seal_twice(stories, trail, AuditKeys(ERASURE))
    await tamper(
        database_url,
        "UPDATE session_router.audit_seals SET key_id = '0123456789abcdef' WHERE seal_id = 1",
    )
    assert await laws_told(trail, SIGNER) == ["seal"]


@pytest.mark.parametrize("signer", [STRANGERS, AuditKeys(ErasureKey("x" * 32)).signer()])
async def test_a_seal_of_a_stranger_is_forged(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    signer: PrivateKey,
) -> None:
    [made] = await seal(trail, SIGNER)
    unsigned = made.model_copy(
        update={
            "seal_id": 2,
            "first_event_id": made.last_event_id + 1,
            "last_event_id": made.last_event_id + 1,
            "key_id": signer.key_id,
            "chain": "",
        }
    )
    for key_id in (signer.key_id, FIRST.key_id):
        forged = unsigned.model_copy(update={"key_id": key_id})
        chain = signer.sign(forged.signed(made.chain))
        await tamper(
            database_url,
            "DELETE FROM session_router.audit_seals WHERE seal_id = 2",
            inserted(forged.model_copy(update={"chain": chain})),
        )
        found = await verify(trail, AUDITOR)
        assert [each.law for each in found.violations] == ["seal"]
        assert "forged" in str(found.violations[0])
        assert found.sealed_until == made.last_event_id


FORGED_CHANGES = {
    "unsigned": {"signature": "'" + "0" * 128 + "'"},
    "of a stranger": {"key_id": f"'{STRANGERS.key_id}'"},
    "of another story": {"session_uid": f"(SELECT session_uid FROM {EVENTS} WHERE event_id = 1)"},
    "of more events": {"events": "99"},
}


@pytest.mark.parametrize("values", FORGED_CHANGES.values(), ids=FORGED_CHANGES)
async def test_a_change_that_was_not_signed_so_is_told_and_hides_nothing(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    values: dict[str, str],
) -> None:
    await more(stories, "brief")
    await seal(trail, SIGNER)
    assert await erase(trail, "brief", SIGNER) is not None
    assert await laws_told(trail) == []

    await tamper(database_url, *(f"UPDATE {CHANGES} SET {n} = {v}" for n, v in values.items()))

    assert {*await laws_told(trail)} - {"erasure"} == {"change", "seal"}


async def test_a_record_of_a_pruning_is_no_leave_to_delete(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    """It is of that story in that range, and another one that goes is missed."""
    for name in ("one", "two"):
        await more(stories, name)
    await seal(trail, SIGNER)
    await prune(trail, soon(), SIGNER)
    assert await laws_told(trail) == []
    uid = f"(SELECT min(session_uid) FROM {EVENTS} WHERE session_id = 'live')"
    if not database_url.startswith("sqlite"):
        uid = uid.replace("min(session_uid)", "min(session_uid::text)::uuid")
    await tamper(
        database_url,
        f"UPDATE {CHANGES} SET session_uid = {uid} WHERE change_id = 1",
        f"DELETE FROM {EVENTS} WHERE session_id = 'live'",
    )
    assert "seal" in await laws_told(trail)


@pytest.mark.parametrize("statement", [f"DELETE FROM {SALTS}", f"UPDATE {SALTS} SET salt = 'x'"])
async def test_a_salt_that_is_another_breaks_the_seal(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str, statement: str
) -> None:
    await seal(trail, SIGNER)
    await tamper(database_url, statement)
    assert await laws_told(trail) == ["seal"]


async def test_an_erasure_key_of_before_goes_on_checking_what_it_made(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    before = AuditKeys(ERASURE)
    await seal(trail, before)
    first = await erase(trail, "over", before)
    now = AuditKeys(ErasureKey("the erasure key of a new year, as long as need be"), FIRST)
    with pytest.raises(InvalidSettingError, match=ERASURE.key_id):
        await erase(trail, "stopped", now)
    now = replace(now, former=[ERASURE])
    second = await erase(trail, "stopped", now)
    await seal(trail, now)

    assert first is not None
    assert second is not None
    assert second.pseudonym == now.pseudonyms.pseudonym("stopped")
    assert await laws_told(trail, now) == []
    async with trail.reading() as conn:
        assert [len(each.chain) for each in await seals(trail, conn)] == [64, 128]


async def test_where_signed_seals_follow_nothing_is_done_without_their_key(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    """Seals of the erasure key, then signed ones: whoever has the erasure key alone stops."""
    shared = AuditKeys(ERASURE)
    await seal_twice(stories, trail, shared)
    await more(stories, "last")
    before = await stories.list_events(limit=1_000)
    for keys in (shared, AuditKeys(ERASURE, SECOND)):
        with pytest.raises(InvalidSettingError, match=FIRST.key_id):
            await seal(trail, keys)
        with pytest.raises(InvalidSettingError, match=FIRST.key_id):
            await erase(trail, "more", keys)
        with pytest.raises(InvalidSettingError, match=FIRST.key_id):
            await prune(trail, soon(), keys)
    assert await stories.list_events(limit=1_000) == before
    assert await laws_told(trail, SIGNER) == []


async def test_behind_a_signed_seal_none_of_the_erasure_key_holds(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    first, signed = await seal_twice(stories, trail)
    signer = AuditKeys(ERASURE).signer()
    weaker = signed.model_copy(update={"key_id": signer.key_id})
    chain = signer.sign(weaker.signed(first.chain))
    await tamper(
        database_url,
        "DELETE FROM session_router.audit_seals WHERE seal_id = 2",
        inserted(weaker.model_copy(update={"chain": chain})),
    )
    assert await laws_told(trail, SIGNER) == ["seal"]


async def test_a_change_of_the_erasure_key_is_none_of_a_signed_seal(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    [made] = await seal(trail, SIGNER)
    assert await erase(trail, "over", SIGNER) is not None
    async with trail.reading() as conn:
        row = (await conn.execute(select(trail.tables.sealed_changes))).one()
    change = Change(
        made.seal_id,
        made.digest,
        row.session_uid,
        Portion(row.events, row.digest),
        row.digest_after,
        row.request_id,
    )
    signer = AuditKeys(ERASURE).signer()
    await tamper(
        database_url,
        f"UPDATE {CHANGES} SET key_id = '{signer.key_id}', "
        f"signature = '{signer.sign(change.signed)}'",
    )
    assert sorted(await laws_told(trail, SIGNER)) == ["change", "seal"]


async def test_a_signed_change_of_no_recorded_erasure_is_told(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    await seal(trail, SIGNER)
    assert await erase(trail, "over", SIGNER) is not None
    await tamper(database_url, f"DELETE FROM {EVENTS} WHERE event = 'session_erased'")
    assert await laws_told(trail) == ["erasure"]


async def test_an_erasure_of_before_is_repeated_with_its_own_key(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    """As after a restore, with another erasure key since, whose seals hold on."""
    receipt = await erase(trail, "over", AuditKeys(ERASURE))
    assert receipt is not None
    other = ErasureKey("the erasure key of a new year, as long as need be")
    fresh = AuditKeys(other, former=[ERASURE])
    past = f"UPDATE {EVENTS} SET session_id = 'over', erased = false WHERE erased"
    await tamper(database_url, past)
    await seal(trail, fresh)

    again = await erase_again(trail, receipt, fresh)

    assert again is not None
    assert again.pseudonym == receipt.pseudonym
    assert await laws_told(trail, fresh) == []


@pytest.mark.parametrize("given", ["x", "1" * 63, "g" * 64])
def test_what_is_no_key_is_refused_and_the_secret_is_not_shown(given: str) -> None:
    with pytest.raises(InvalidSettingError, match="openssl rand -hex 32") as refused:
        PrivateKey(given)
    assert len(given) == 1 or given not in str(refused.value)
    with pytest.raises(InvalidSettingError, match="audit public-key"):
        PublicKey(given)
