"""Seals: what the laws cannot see, a story that is gone or was told otherwise, they do."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router import (
    AgentId,
    DatabaseUnavailableError,
    InvalidSettingError,
    InvalidValueError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.audit import seals
from session_router.audit import trail as trails
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.retention import prune
from session_router.audit.seals import Seal, seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.pseudonyms import ErasureKey
from tests.audit.conftest import KEY, tamper
from tests.support.by_hand import execute

EVENTS = "session_router.session_events"
SEALS = "session_router.audit_seals"
OTHER_KEY = "another erasure key, as long as need be"


async def laws_told(trail: Trail, keys: AuditKeys, kept: list[Seal] | None = None) -> list[str]:
    return [violation.law for violation in (await verify(trail, keys, kept or [])).violations]


async def test_the_whole_closed_trail_is_sealed_once(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    newest = (await stories.list_events(limit=1_000))[-1].event_id

    [made] = await seal(trail, keys)

    assert (made.seal_id, made.first_event_id, made.last_event_id) == (1, 1, newest)
    assert made.events == newest
    assert await seal(trail, keys) == []
    found = await verify(trail, keys)
    assert (found.violations, found.seals, found.sealed_until) == ([], 1, newest)


async def test_later_events_get_later_seals(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    [first] = await seal(trail, keys)
    await SessionManager(stories).end_session("live")
    [second] = await seal(trail, keys)

    assert (second.seal_id, second.first_event_id) == (2, first.last_event_id + 1)
    assert await laws_told(trail, keys) == []


async def test_a_long_trail_is_sealed_page_by_page(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trails, "PAGE", 4)

    made = await seal(trail, keys)

    assert [each.seal_id for each in made] == list(range(1, len(made) + 1))
    assert len(made) > 2
    assert {each.events for each in made[:-1]} == {4}
    assert await laws_told(trail, keys) == []


DAMAGE = {
    "a story that is gone": f"DELETE FROM {EVENTS} WHERE session_id = 'over'",
    "an actor who was exchanged": f"UPDATE {EVENTS} SET actor = 'eve' WHERE actor = 'bob'",
    "an outcome that was exchanged": (
        f"UPDATE {EVENTS} SET outcome = 'lost' WHERE event = 'signal_settled'"
    ),
    "a time that was moved": (
        f"UPDATE {EVENTS} SET occurred_at = (SELECT max(occurred_at) FROM {EVENTS}) "
        "WHERE event_id = 1"
    ),
    "a story called erased": f"UPDATE {EVENTS} SET erased = true WHERE session_id = 'over'",
    "an event from nowhere": (
        f"INSERT INTO {EVENTS} (event_id, session_id, session_uid, event) SELECT -1, session_id, "
        f"session_uid, 'interrupt_requested' FROM {EVENTS} WHERE event_id = 1"
    ),
    "a digest that was exchanged": f"UPDATE {SEALS} SET digest = chain",
    "a seal that was moved in time": f"UPDATE {SEALS} SET sealed_at = '2020-01-01 00:00:00.000000'",
    "a number that was exchanged": f"UPDATE {SEALS} SET seal_id = 7",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
async def test_what_was_changed_by_hand_is_found(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    statement: str,
) -> None:
    await seal(trail, keys)

    await tamper(database_url, statement)

    assert await laws_told(trail, keys) == ["seal"]


def forged(seal_id: int, **values: object) -> str:
    """An INSERT of a seal that nobody made, which looks like one."""
    row = {
        "seal_id": seal_id,
        "first_event_id": 1,
        "last_event_id": 1,
        "events": 1,
        "digest": "2:" + "0" * 64,
        "chain": "1" * 64,
        "key_id": "deadbeefdeadbeef",
        "sealed_at": "2020-01-01 00:00:00.000000",
    } | values
    return f"INSERT INTO {SEALS} ({', '.join(row)}) VALUES ({', '.join(map(repr, row.values()))})"


FORGED = {
    "of another key": forged(2),
    "of our key": forged(2, key_id=ErasureKey(KEY).key_id),
    "with a number that ends the counting": forged(2**63 - 1),
    "before all others": forged(0),
    "over all that is to come": forged(2, last_event_id=2**62),
}


@pytest.mark.parametrize("statement", FORGED.values(), ids=FORGED)
async def test_a_forged_seal_ends_neither_sealing_nor_pruning_nor_erasure(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    statement: str,
) -> None:
    [first] = await seal(trail, keys)
    await execute(database_url, statement)
    await SessionManager(stories).start_session("more")

    [fresh] = await seal(trail, keys)

    assert fresh.first_event_id == first.last_event_id + 1
    assert await seal(trail, keys) == []
    assert await erase(trail, "over", keys) is not None
    assert (await prune(trail, datetime.now(UTC) + timedelta(seconds=5), keys)).stories == 1
    found = await verify(trail, keys)
    assert [violation.law for violation in found.violations] == ["seal"]
    assert "forged" in str(found.violations[0])
    assert (found.seals, found.sealed_until) == (2, fresh.last_event_id)


async def test_a_forged_seal_before_the_first_one_is_passed_over(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    await execute(database_url, forged(1, digest="2:x", chain="x"))

    assert await erase(trail, "over", keys) is not None
    [made] = await seal(trail, keys)

    assert (made.seal_id, made.first_event_id) == (2, 1)
    assert await laws_told(trail, keys) == ["seal"]


async def test_after_a_seal_that_was_changed_the_others_hold(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    for name in ("one", "two"):
        await seal(trail, keys)
        await SessionManager(stories).start_session(name)
    await seal(trail, keys)
    await tamper(database_url, f"UPDATE {SEALS} SET events = 99 WHERE seal_id = 2")
    await SessionManager(stories).start_session("three")

    [fresh] = await seal(trail, keys)

    assert fresh.seal_id == 4
    [violation] = (await verify(trail, keys)).violations
    assert (violation.law, violation.id.split()[0]) == ("seal", "2")


async def test_numbers_that_were_never_given_out_are_not_sealed(
    postgres_url: str, keys: AuditKeys
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    await manager.start_session("a")
    async with Trail.opened(postgres_url) as trail:
        await seal(trail, keys)
        await execute(
            postgres_url,
            f"INSERT INTO {EVENTS} (event_id, session_id, session_uid, event) SELECT {2**62}, "
            f"session_id, session_uid, 'interrupt_requested' FROM {EVENTS} WHERE event_id = 1",
        )
        assert await seal(trail, keys) == []

        await manager.start_session("b")
        [made] = await seal(trail, keys)

        assert (made.first_event_id, made.last_event_id) == (2, 2)
        [violation] = (await verify(trail, keys)).violations
        assert (violation.law, violation.id) == ("number", str(2**62))
    await repository.close()


async def test_a_seal_that_ends_above_the_numbers_given_out_is_passed_over(
    postgres_url: str, keys: AuditKeys
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    await manager.start_session("a")
    sequence = f"{EVENTS}_event_id_seq"
    async with Trail.opened(postgres_url) as trail:
        [first] = await seal(trail, keys)
        await execute(
            postgres_url,
            f"SELECT setval('{sequence}', {2**62} - 1)",
            f"INSERT INTO {EVENTS} (session_id, session_uid, event) SELECT "
            f"session_id, session_uid, 'interrupt_requested' FROM {EVENTS} WHERE event_id = 1",
            "SELECT 1",
        )
        [above] = await seal(trail, keys)
        await execute(postgres_url, f"SELECT setval('{sequence}', 1)")
        await manager.start_session("b")

        [made] = await seal(trail, keys)

        assert (first.seal_id, above.seal_id, made.seal_id) == (1, 2, 3)
        assert (made.first_event_id, made.last_event_id) == (2, 2)
        assert await laws_told(trail, keys) == ["number", "seal"]
    await repository.close()


async def test_what_is_said_to_be_pruned_and_was_not_is_told_and_hinders_nothing(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    await seal(trail, keys)
    uid = "(SELECT session_uid FROM session_router.session_events WHERE event_id = 1)"
    await execute(
        database_url,
        "INSERT INTO session_router.sealed_changes (seal_id, session_uid, events, digest, "
        "request_id, key_id, signature) VALUES "
        f"(1, {uid}, 1, '{'0' * 64}', '{UUID(int=1)}', '{keys.signer().key_id}', '{'0' * 64}')",
    )

    done = await prune(trail, datetime.now(UTC) + timedelta(seconds=5), keys)

    assert done.stories == 1
    assert await stories.list_events("over") == []
    assert await laws_told(trail, keys) == ["pruning", "change"]


async def test_seals_that_are_gone_are_missed_by_the_kept_ones(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    tmp_path: Path,
) -> None:
    made = await seal(trail, keys)
    file = tmp_path / "seals.jsonl"
    file.write_text("".join(f"{each.model_dump_json()}\n" for each in made))
    kept = seals.read_seals(file)
    assert await laws_told(trail, keys, kept) == []

    await tamper(
        database_url, f"DELETE FROM {SEALS}", f"DELETE FROM {EVENTS} WHERE session_id = 'over'"
    )
    assert await laws_told(trail, keys) == []
    assert await laws_told(trail, keys, kept) == ["kept seal"]


async def test_a_file_without_seals_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "seals"
    for content in ("", "no JSON", "{}", "[1]", '{"seal_id": 1}', "\udcff"):
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(InvalidValueError, match="seals"):
            seals.read_seals(file)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        seals.read_seals(tmp_path)


async def test_seals_are_checked_with_their_own_key_only(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    await SessionManager(stories).start_session("more")

    with pytest.raises(InvalidSettingError, match=keys.pseudonyms.key_id):
        await verify(trail, AuditKeys(ErasureKey(OTHER_KEY)))
    with pytest.raises(InvalidSettingError, match=keys.pseudonyms.key_id):
        await seal(trail, AuditKeys(ErasureKey(OTHER_KEY)))


async def test_no_event_may_still_appear_in_what_was_sealed(
    postgres_url: str, keys: AuditKeys
) -> None:
    """The older transaction drew the later number, and the younger one commits last."""
    plain = make_url(postgres_url).set(drivername="postgresql")
    older, younger = [
        await asyncpg.connect(plain.render_as_string(hide_password=False)) for _ in range(2)
    ]
    draw = (
        f"INSERT INTO {EVENTS} (session_id, session_uid, event) "
        "VALUES ('x', gen_random_uuid(), 'session_started')"
    )
    async with Trail.opened(postgres_url) as trail:
        await older.execute("BEGIN; SELECT pg_current_xact_id()")
        await younger.execute(f"BEGIN; {draw}")
        await older.execute(f"{draw}; COMMIT")
        sealing = asyncio.create_task(seal(trail, keys))
        done, _ = await asyncio.wait({sealing}, timeout=0.2)
        assert not done, "sealed past an event that was still to appear"

        await younger.execute("COMMIT")
        [made] = await sealing

        assert made.events == 2
        assert [v.law for v in (await verify(trail, keys)).violations] == ["law 2", "law 2"]
    await older.close()
    await younger.close()


async def test_a_transaction_that_does_not_end_is_named(
    postgres_url: str, keys: AuditKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trails, "_PATIENCE_SEC", 0.1)
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    await SessionManager(repository).register_agent("s", AgentId("a", "b"))
    plain = make_url(postgres_url).set(drivername="postgresql")
    writer = await asyncpg.connect(plain.render_as_string(hide_password=False))
    await writer.execute(
        f"BEGIN; INSERT INTO {EVENTS} (session_id, session_uid, event) "
        "VALUES ('x', gen_random_uuid(), 'session_started')"
    )
    async with Trail.opened(postgres_url) as trail:
        with pytest.raises(DatabaseUnavailableError, match=str(writer.get_server_pid())):
            await seal(trail, keys)
    await writer.close()
    await repository.close()


async def test_writers_do_not_wait_for_a_seal(postgres_url: str, keys: AuditKeys) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url, deadline_sec=2)
    manager = SessionManager(repository)
    await manager.start_session("s")
    async with Trail.opened(postgres_url) as trail, trail.changing():
        await manager.end_session("s")
    await repository.close()
