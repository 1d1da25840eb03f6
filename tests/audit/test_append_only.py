"""The database refuses to change its trail, whoever asks and however."""

import sqlite3

import asyncpg
import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.database.definitions import audit_0016
from session_router.database.definitions.audit_0016 import ERASE_NOW, PRUNE_NOW
from tests.support.by_hand import execute

EVENTS = "session_router.session_events"
REFUSED = (asyncpg.InsufficientPrivilegeError, sqlite3.IntegrityError)
FRAME = "PL/pgSQL function session_router.{} line 5 at SQL statement"
PRUNE = FRAME.format(f"prune_trail({PRUNE_NOW})")
ERASE = FRAME.format(f"erase_events({ERASE_NOW})")


@pytest.fixture
async def url(database_url: str) -> str:
    """A database with a story in it."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("chat", AgentId("writer", "ann"))
        await manager.end_session("chat", actor="bob")
    await repository.close()
    return database_url


async def rows(url: str) -> list[tuple[object, ...]]:
    found = await execute(url, f"SELECT * FROM {EVENTS} ORDER BY event_id")
    return [tuple(row) for row in found]


CHANGES = {
    "update": f"UPDATE {EVENTS} SET actor = 'nobody'",
    "update of one": f"UPDATE {EVENTS} SET detail = 'x' WHERE event_id = 1",
    "delete": f"DELETE FROM {EVENTS}",
    "delete of one": f"DELETE FROM {EVENTS} WHERE event_id = 1",
    "upsert": f"INSERT INTO {EVENTS} (event_id, session_id, session_uid, event) "
    f"SELECT event_id, session_id, session_uid, event FROM {EVENTS} WHERE true "
    "ON CONFLICT (event_id) DO UPDATE SET actor = 'nobody'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_no_event_is_changed(url: str, change: str) -> None:
    before = await rows(url)

    with pytest.raises(REFUSED, match="is append-only"):
        await execute(url, change)

    assert await rows(url) == before


@pytest.mark.parametrize(
    "change",
    [
        (
            f"REPLACE INTO {EVENTS} (event_id, session_id, session_uid, event) "
            "VALUES (1, 'other', 'u', 'session_started')"
        ),
        f"INSERT OR REPLACE INTO {EVENTS} SELECT * FROM {EVENTS}",
        f"UPDATE OR REPLACE {EVENTS} SET event_id = 1",
    ],
)
async def test_no_event_is_replaced_on_sqlite(sqlite_url: str, change: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    await SessionManager(repository).start_session("chat")
    await repository.close()

    with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
        await execute(sqlite_url, change)


@pytest.mark.parametrize(
    "table",
    ["session_events", "audit_seals", "sealed_changes", "pruned_stories", "audit_verifications"],
)
@pytest.mark.parametrize("change", ["UPDATE {} SET events = 0", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_the_auditor_relies_on_is_not_changed(
    postgres_url: str, table: str, change: str
) -> None:
    statement = change.format(f"session_router.{table}").replace(
        "session_events SET events", "session_events SET event_id"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=f"{table} is refused"):
        await execute(postgres_url, statement)


FORGERIES = {
    "a setting": ["SET session_replication_role = replica", f"DELETE FROM {EVENTS}"],
    "a search path": ["SET search_path = session_router, public", "DELETE FROM session_events"],
    "merge": [
        (
            f"MERGE INTO {EVENTS} e USING (SELECT 1 AS one) o ON e.event_id = o.one "
            "WHEN MATCHED THEN DELETE"
        )
    ],
    "a frame in the statement": [f'DELETE FROM {EVENTS} /* "\n{PRUNE} */'],
    "a frame in a statement of a block": [
        f"DO $do$ BEGIN EXECUTE 'DELETE FROM {EVENTS} /* \"\n{PRUNE} */'; END $do$"
    ],
    "a frame in a function's name": [
        (
            f'CREATE FUNCTION public."{PRUNE}\n{PRUNE}"() RETURNS void LANGUAGE plpgsql AS '
            f"$$ BEGIN DELETE FROM {EVENTS}; END $$"
        ),
        f'SELECT public."{PRUNE}\n{PRUNE}"()',
    ],
    "our statement elsewhere": [
        (
            "CREATE FUNCTION public.prune_trail(run uuid, before timestamp with time zone, "
            "session_ids text[], session_uids uuid[], asker text) RETURNS void LANGUAGE plpgsql "
            f"AS $$ BEGIN {audit_0016.PRUNE.format(s='session_router')}; END $$"
        ),
        "SELECT public.prune_trail(gen_random_uuid(), now(), '{}', '{}', 'me')",
    ],
    "our statement under our name in quotes": [
        (
            'CREATE FUNCTION public."session_router.prune_trail"(run uuid, before timestamptz, '
            "session_ids text[], session_uids uuid[], asker text) "
            "RETURNS void LANGUAGE plpgsql SET search_path = public, pg_catalog "
            f"AS $$ BEGIN {audit_0016.PRUNE.format(s='session_router')}; END $$"
        ),
        "SELECT public.\"session_router.prune_trail\"(gen_random_uuid(), now(), '{}', '{}', 'me')",
    ],
    "our function under another argument list": [
        (
            "CREATE FUNCTION session_router.erase_events(event_ids bigint[], pseudonym text, "
            "agent_keys text[], actors text[], details text[]) RETURNS void LANGUAGE plpgsql "
            f"AS $$ BEGIN {audit_0016.ERASE.format(s='session_router')}; END $$"
        ),
        "SELECT session_router.erase_events('{1}', 'x', '{x}', '{x}', '{x}')",
    ],
}


_SHADOWED = audit_0016.PRUNE.format(s="session_router")
FORGERIES["our function with types that are printed as ours"] = [
    "CREATE SCHEMA shadow; CREATE DOMAIN shadow.uuid AS pg_catalog.uuid",
    (
        "CREATE FUNCTION session_router.prune_trail(run shadow.uuid, before timestamptz,"
        " session_ids text[], session_uids shadow.uuid[], asker text) RETURNS void "
        "LANGUAGE plpgsql SET search_path = shadow, pg_catalog AS "
        f"$$\nDECLARE\n    removed bigint;\nBEGIN\n    {_SHADOWED};\nEND $$"
    ),
    (
        "SELECT session_router.prune_trail(NULL::shadow.uuid, '2999-01-01'::timestamptz, "
        "array_agg(session_id), array_agg(session_uid::shadow.uuid), 'me'::text) "
        f"FROM {EVENTS} WHERE event = 'session_ended'"
    ),
]


@pytest.mark.parametrize("statements", FORGERIES.values(), ids=FORGERIES)
async def test_not_even_the_owner_forges_the_call_stack(
    postgres_url: str, statements: list[str]
) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    await SessionManager(repository).start_session("chat")
    await SessionManager(repository).end_session("chat")
    await repository.close()
    before = await rows(postgres_url)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="is append-only"):
        await execute(postgres_url, *statements)

    assert await rows(postgres_url) == before


PRUNE_VARIABLES = "session_uids uuid[]; session_ids text[]; before timestamptz"
ERASE_VARIABLES = (
    "event_ids bigint[]; pseudonym text; agent_keys text[]; actors text[]; details text[]"
)


@pytest.mark.parametrize(
    ("statement", "frame", "variables"),
    [(audit_0016.PRUNE, PRUNE, PRUNE_VARIABLES), (audit_0016.ERASE, ERASE, ERASE_VARIABLES)],
    ids=["prune", "erase"],
)
@pytest.mark.parametrize("end", ['"\n{}', '"\n{}" ', ' /* "\n{} */', ' -- "\n{}'])
async def test_nothing_that_begins_as_our_statement_passes(
    postgres_url: str, statement: str, frame: str, variables: str, end: str
) -> None:
    forged = statement.format(s="session_router") + end.format(frame)
    block = f"DO $do$ DECLARE {variables}; BEGIN {forged}\n; END $do$"

    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.PostgresSyntaxError)):
        await execute(postgres_url, block)


async def test_check_sees_a_trigger_that_was_switched_off(postgres_url: str) -> None:
    await execute(postgres_url, f"ALTER TABLE {EVENTS} DISABLE TRIGGER session_events_append_only")
    [difference] = await migrate.check(migrate.Target(postgres_url))
    assert "session_events_append_only differs" in difference


async def test_everybody_may_not_execute_what_passes_the_trigger(postgres_url: str) -> None:
    found = await execute(
        postgres_url,
        "SELECT proname, has_function_privilege('public', oid, 'EXECUTE') AS public, prosecdef "
        "FROM pg_proc WHERE pronamespace = 'session_router'::regnamespace AND prosecdef",
    )
    assert {row["proname"]: row["public"] for row in found} == {
        "prune_trail": False,
        "erase_events": False,
        "seal_trail": False,
        "keep_changes": False,
        "last_event_number": True,
        "put_hook_deliveries": False,
        "keep_past_workers": False,
    }
