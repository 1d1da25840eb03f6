"""What the owner of the tables may try against signed seals without the key; and older code."""

import sqlite3
from contextlib import suppress

import pytest

from session_router import (
    DatabaseError,
    SessionRouterError,
    SQLAlchemySessionRepository,
)
from session_router.audit.erasure import erase
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.definitions.audit_0006 import made_by_0006
from session_router.database.migrate import Target
from tests.audit.conftest import tamper
from tests.audit.test_signed_seals import EVENTS, SIGNER, laws_told, more, seal_twice, soon
from tests.support.by_hand import execute

ON_POSTGRESQL = (
    (
        "CREATE FUNCTION session_router.evil() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.{0} := {1}; RETURN NEW; END $$"
    ),
    (
        f"CREATE TRIGGER evil BEFORE UPDATE ON {EVENTS} FOR EACH ROW "
        "EXECUTE FUNCTION session_router.evil()"
    ),
)
ON_SQLITE = (
    (
        "CREATE TRIGGER evil AFTER UPDATE OF erased ON session_events BEGIN "
        "UPDATE session_events SET {0} = {1} WHERE event_id = NEW.event_id; END"
    ),
)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("agent_type", "'forged'"),
        ("session_uid", "'11111111-1111-1111-1111-111111111111'"),
        ("actor", "NULL"),
    ],
)
async def test_no_erasure_signs_what_a_trigger_has_put_in(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    column: str,
    value: str,
) -> None:
    await seal(trail, SIGNER)
    before = await stories.list_events(limit=1_000)
    triggers = ON_SQLITE if database_url.startswith("sqlite") else ON_POSTGRESQL
    await execute(database_url, *(each.format(column, value) for each in triggers), "SELECT 1")

    with pytest.raises(DatabaseError, match="trigger"):
        await erase(trail, "over", SIGNER)

    assert await stories.list_events(limit=1_000) == before


@pytest.mark.parametrize("how", ["erased", "pruned"])
async def test_what_was_taken_away_and_is_put_back_is_told(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str, how: str
) -> None:
    await seal(trail, SIGNER)
    copies = {"kept_events": EVENTS, "kept_salts": "session_router.story_salts"}
    for copy, table in copies.items():
        await execute(database_url, f"CREATE TABLE {copy} AS SELECT * FROM {table}", "SELECT 1")
    if how == "erased":
        assert await erase(trail, "over", SIGNER) is not None
    else:
        assert (await prune(trail, soon(), SIGNER)).stories == 1
    assert await laws_told(trail) == []

    overriding = "" if database_url.startswith("sqlite") else "OVERRIDING SYSTEM VALUE"
    await tamper(
        database_url,
        f"DELETE FROM {EVENTS} WHERE event_id IN (SELECT event_id FROM kept_events)",
        f"INSERT INTO {EVENTS} {overriding} SELECT * FROM kept_events",
        "DELETE FROM session_router.story_salts",
        "INSERT INTO session_router.story_salts SELECT * FROM kept_salts",
    )

    assert await laws_told(trail) == ["change"]


async def test_bytes_in_the_place_of_a_text_are_no_text(
    sqlite_url: str,
) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    await more(repository, "over")
    async with Trail.opened(sqlite_url) as trail:
        await seal(trail, SIGNER)
        await tamper(sqlite_url, f"UPDATE {EVENTS} SET session_id = CAST(session_id AS BLOB)")
        assert "seal" in await laws_told(trail)
    await repository.close()


async def test_a_signature_is_written_in_one_way(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    await seal_twice(stories, trail)
    await tamper(
        database_url,
        "UPDATE session_router.audit_seals SET chain = upper(chain) WHERE seal_id = 2",
    )
    assert await laws_told(trail) == ["seal"]


async def test_a_pseudonym_is_not_erased_again(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    receipt = await erase(trail, "over", SIGNER)
    assert receipt is not None
    assert await erase(trail, receipt.pseudonym, SIGNER) is None
    await seal(trail, SIGNER)
    assert (await prune(trail, soon(), SIGNER)).stories == 1
    assert await laws_told(trail) == []


async def test_a_downgrade_keeps_the_record_of_what_was_pruned(
    repository: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    await more(repository, "only")
    await seal(trail, SIGNER)
    await prune(trail, soon(), SIGNER)
    for revision in ("0015", "0003"):
        await migrate.downgrade(Target(database_url), revision)
        await migrate.upgrade(Target(database_url))
        assert await laws_told(trail) == []
        assert await migrate.check(Target(database_url)) == []


@pytest.mark.parametrize(
    "change", ["DELETE FROM session_events", "UPDATE session_events SET actor = 'x'"]
)
async def test_code_of_before_takes_other_triggers_away(sqlite_url: str, change: str) -> None:
    """As it prunes and erases on SQLite: the trigger that it knows goes, and comes again."""
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    await more(repository, "over")
    await repository.close()
    drops = [made.drop for made in made_by_0006("sqlite", None)[:2]]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await execute(sqlite_url, *drops, change)
    with pytest.raises(sqlite3.IntegrityError, match="too old"):
        await execute(
            sqlite_url,
            "INSERT INTO audit_seals VALUES (1, 1, 2, 2, '0', '0', '0', '2026-01-01 00:00:00')",
        )


HOSTILE = [
    "UPDATE sealed_changes SET session_uid = 'zz'",
    "UPDATE sealed_changes SET events = 'abc'",
    "UPDATE sealed_changes SET digest = x'ff'",
    "UPDATE sealed_changes SET digest_after = x'00'",
    "UPDATE sealed_changes SET signature = CAST(signature AS BLOB)",
    "UPDATE sealed_changes SET key_id = x'ff'",
    "UPDATE story_salts SET salt = CAST(salt AS BLOB)",
    "UPDATE story_salts SET salt = CAST(x'ff' AS TEXT)",
    "UPDATE audit_seals SET digest = x'ff'",
    "UPDATE audit_seals SET events = 'abc'",
    "UPDATE session_events SET session_uid = 'zz' WHERE event_id = 1",
    "UPDATE session_events SET occurred_at = 'zz' WHERE event_id = 1",
    "UPDATE session_events SET actor = CAST(x'ff' AS TEXT) WHERE event_id = 1",
]


@pytest.mark.parametrize("statement", HOSTILE)
async def test_whatever_stands_in_a_file_is_found_or_refused(
    sqlite_url: str, statement: str
) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    await more(repository, "over")
    await more(repository, "other")
    async with Trail.opened(sqlite_url) as trail:
        await seal(trail, SIGNER)
        assert await erase(trail, "over", SIGNER) is not None
        await tamper(sqlite_url, statement)
        found = True
        with suppress(SessionRouterError):
            found = bool((await verify(trail, SIGNER)).violations)
        assert found
        for work in (
            seal(trail, SIGNER),
            erase(trail, "other", SIGNER),
            prune(trail, soon(), SIGNER),
        ):
            with suppress(SessionRouterError):
                await work
    await repository.close()
