"""What a database or a role has set for itself breaks neither revisions nor the comparison."""

from collections.abc import Iterator

import pytest

from session_router import AgentId, DatabaseError, SessionManager, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.databases import PostgresDatabases
from tests.support.sql import connected, query, run_script

SETTINGS = {
    "strict": ["plpgsql.extra_errors = 'all'"],
    "quoting": ["quote_all_identifiers = on", "standard_conforming_strings = off"],
    "transactions": [
        "default_transaction_isolation = 'serializable'",
        "lock_timeout = '1ms'",
        "check_function_bodies = off",
        "IntervalStyle = 'sql_standard'",
        "DateStyle = 'SQL, DMY'",
    ],
    "no path": ["search_path = ''"],
    "a hostile path": ["search_path = hostile, pg_catalog"],
}
# Each is what a function or a default of ours would call, were it looked for by the caller's path.
HOSTILE = """
CREATE SCHEMA hostile;
CREATE TABLE hostile.loot (who text);
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO hostile.loot VALUES (current_user);
    RETURN pg_catalog.clock_timestamp();
END $$;
CREATE FUNCTION hostile.gen_random_uuid() RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO hostile.loot VALUES (current_user);
    RETURN pg_catalog.gen_random_uuid();
END $$;
CREATE FUNCTION hostile.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO hostile.loot VALUES (current_user);
    RETURN pg_catalog.texteq($1, $2);
END $$;
CREATE OPERATOR hostile.= (FUNCTION = hostile.same, LEFTARG = text, RIGHTARG = text);
"""
SLOW_DDL = """
CREATE FUNCTION slowly() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF pg_catalog.current_setting('test.slept', true) IS NULL THEN
        PERFORM pg_catalog.set_config('test.slept', 'yes', false), pg_catalog.pg_sleep(3.5);
    END IF;
END $$;
CREATE EVENT TRIGGER slowly ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION slowly();
"""


@pytest.fixture
def url(postgres: PostgresDatabases) -> Iterator[str]:
    """A database without tables."""
    with postgres.fresh(empty=True) as url:
        yield url


async def set_for_all(url: str, setting: str) -> None:
    await query(
        url,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "
        f"{setting.replace(chr(39), chr(39) * 2)}', current_database()); END $$",
    )


@pytest.mark.parametrize("kind", SETTINGS)
async def test_revisions_run_and_the_check_finds_nothing(url: str, kind: str) -> None:
    run_script(url, HOSTILE)
    for setting in SETTINGS[kind]:
        await set_for_all(url, setting)
    target = Target(url)
    await migrate.upgrade(target)
    assert await migrate.check(target) == []
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("a", AgentId("writer", "1"))
        await manager.end_session("a")
    await repository.close()
    await migrate.downgrade(target, "base")
    run_script(url, await migrate.sql(target))
    assert await migrate.check(target) == []


async def test_a_statement_of_a_revision_may_last(url: str) -> None:
    run_script(url, SLOW_DDL)
    await set_for_all(url, "statement_timeout = '3s'")
    await migrate.upgrade(Target(url))
    assert await migrate.current(Target(url)) == migrate.head()


async def test_a_database_that_may_not_be_changed_is_told_of(url: str) -> None:
    await set_for_all(url, "default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match="default_transaction_read_only = on"):
        await migrate.upgrade(Target(url))
    assert await migrate.current(Target(url)) is None


async def test_one_that_is_up_to_date_can_be_checked_all_the_same(postgres_url: str) -> None:
    await set_for_all(postgres_url, "default_transaction_read_only = on")
    await migrate.upgrade(Target(postgres_url))
    assert await migrate.check(Target(postgres_url)) == []


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_another_encoding_is_no_reason_to_refuse(url: str, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    await query(url, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    target = Target(url.rpartition("/")[0] + f"/{name}")
    try:
        await migrate.upgrade(target)
        assert await migrate.check(target) == []
    finally:
        await query(url, f"DROP DATABASE {name} WITH (FORCE)")


async def test_no_function_of_ours_runs_anybody_elses(postgres_url: str) -> None:
    run_script(postgres_url, HOSTILE)
    ids, outcomes = "ARRAY['a']::text[]", "ARRAY['completed']::text[]"
    uids = worker = "ARRAY['00000000-0000-0000-0000-000000000001']::uuid[]"
    others = "ARRAY['00000000-0000-0000-0000-000000000002']::uuid[]"
    named, none = "ARRAY['00000000-0000-0000-0000-000000000003']::uuid[]", "ARRAY[NULL]::text[]"
    yes, no, whole = "ARRAY[true]", "ARRAY[false]", "false, NULL, NULL, NULL"
    asked, agents = f"{uids}, {worker}, {none}, {none}", """ARRAY['["a/a"]']::jsonb[]"""
    await query(
        postgres_url,
        "INSERT INTO session_router.workers (worker_id, host, pid, started_at, heartbeat_at) "
        f"SELECT unnest({worker}), 'here', 1, now(), now()",
    )
    async with connected(postgres_url) as connection:
        await connection.execute("SET search_path = hostile, pg_catalog")
        for call in (
            f"start_sessions({ids}, {uids}, {worker}, '0')",
            f"touch_sessions({ids}, '0')",
            f"register_streams({ids}, {ids}, {ids}, {uids}, {worker}, {uids})",
            f"finish_streams({ids}, {ids}, {ids}, {uids}, {worker}, {outcomes}, {ids})",
            f"register_streams({ids}, {ids}, {ids}, {others}, {worker}, {uids})",
            f"finish_streams({ids}, {ids}, {ids}, {others}, {worker}, {outcomes}, {ids})",
            f"open_streams({ids}, {ids}, {ids}, {named}, {worker}, {uids}, {yes}, {yes}, {no})",
            f"stop_streams({ids}, {asked}, {agents}, {uids}, NULL, true, 'a', NULL, '0')",
            f"stop_streams({ids}, {asked}, NULL, {others}, 'session_replaced', {whole})",
            "expire_sessions('-1 day', 10, NULL, NULL, NULL, pg_catalog.gen_random_uuid())",
        ):
            assert await connection.fetch(f"SELECT * FROM session_router.{call}"), call
        assert await connection.fetchval("SELECT pg_catalog.count(*) FROM hostile.loot") == 0
