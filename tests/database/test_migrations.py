"""One chain for both databases: up, down and up again, and equal to the metadata."""

import asyncio
import sys

import pytest
from sqlalchemy import text

from session_router import AgentId, SchemaError, SessionManager, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.database.engine import create_engine
from session_router.database.migrate import Target
from session_router.database.migration.standing import known
from session_router.database.schema import OLDEST_CODE_TABLE, VERSION_TABLE
from tests.support.laws import contents, violations
from tests.support.sql import query


async def fill(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        for number in range(20):
            await manager.register_agent(f"s{number}", AgentId("writer", str(number)))
        await manager.interrupt_streaming_agents("s1", actor="a person", reason="stop")
        await manager.end_session("s2")
    await repository.close()


async def execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as conn:
        for statement in statements:
            await conn.execute(text(statement))
    await engine.dispose()


def qualified(url: str, name: str) -> str:
    return name if url.startswith("sqlite") else f"session_router.{name}"


def test_the_revisions_that_are_known_by_their_files_are_alembics() -> None:
    assert list(known()) == [step.revision for step in migrate.history()]


async def test_the_migrated_schema_is_the_metadatas(empty_url: str) -> None:
    target = Target(empty_url)
    await migrate.upgrade(target)
    assert await migrate.current(target) == migrate.head()
    assert await migrate.check(target) == []


async def test_it_goes_up_down_and_up_again_on_a_filled_database(empty_url: str) -> None:
    target = Target(empty_url)
    for _ in range(2):
        await migrate.upgrade(target)
        await fill(empty_url)
        assert await migrate.check(target) == []
        repository = SQLAlchemySessionRepository.from_url(empty_url)
        assert await violations(repository) == []
        assert len((await contents(repository)).events) > 60
        await repository.close()
        await migrate.downgrade(target, "base")
        assert await migrate.current(target) is None


async def test_an_upgrade_of_a_database_that_is_up_to_date_changes_nothing(
    database_url: str,
) -> None:
    await fill(database_url)
    await migrate.upgrade(Target(database_url))
    repository = SQLAlchemySessionRepository.from_url(database_url)
    assert len((await contents(repository)).session_uids) == 19
    await repository.close()


async def test_upgrades_that_start_together_all_succeed(empty_url: str) -> None:
    code = (
        "import asyncio, sys; from session_router.database.migrate import Target, upgrade; "
        "asyncio.run(upgrade(Target(sys.argv[1])))"
    )
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, empty_url)
        for _ in range(8)
    ]
    async with asyncio.timeout(240):
        assert [await process.wait() for process in started] == [0] * 8
    assert await migrate.check(Target(empty_url)) == []


SQLITE_TRIGGER = "CREATE TRIGGER watch AFTER UPDATE ON {workers} BEGIN SELECT 1; END"
POSTGRESQL_TRIGGER = (
    "CREATE TRIGGER watch BEFORE UPDATE ON {workers} "
    "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP INDEX {index}", "index agent_streams_worker_id_idx is missing"),
        ("ALTER TABLE {sessions} ADD COLUMN mood TEXT", "column mood is not of this version"),
        ("ALTER TABLE {workers} RENAME COLUMN host TO place", "column host is missing"),
        ("{trigger}", "trigger watch is not of this version"),
    ],
)
async def test_check_names_each_difference(database_url: str, change: str, said: str) -> None:
    trigger = SQLITE_TRIGGER if database_url.startswith("sqlite") else POSTGRESQL_TRIGGER
    workers = qualified(database_url, "workers")
    statement = change.format(
        index=qualified(database_url, "agent_streams_worker_id_idx"),
        sessions=qualified(database_url, "sessions"),
        workers=workers,
        trigger=trigger.format(workers=workers),
    )
    await execute(database_url, statement)
    differences = await migrate.check(Target(database_url))
    assert any(said in difference for difference in differences), differences


async def test_check_sees_a_rule_that_means_something_else(postgres_url: str) -> None:
    table = "session_router.interrupt_signals"
    await execute(
        postgres_url,
        f"ALTER TABLE {table} DROP CONSTRAINT interrupt_signals_action_check",
        f"ALTER TABLE {table} ADD CONSTRAINT interrupt_signals_action_check "
        "CHECK (action IN ('cancel', 'cancel_and_forget'))",
    )
    [difference] = await migrate.check(Target(postgres_url))
    assert "interrupt_signals_action_check differs" in difference


async def test_check_tells_how_to_finish_what_was_left_half_done(postgres_url: str) -> None:
    signals, index = "session_router.interrupt_signals", "agent_streams_worker_id_idx"
    await execute(
        postgres_url,
        f"ALTER TABLE {signals} DROP CONSTRAINT interrupt_signals_action_check",
        f"ALTER TABLE {signals} ADD CONSTRAINT interrupt_signals_action_check "
        "CHECK (action IN ('cancel', 'cancel_and_remove')) NOT VALID",
        "UPDATE pg_index SET indisvalid = false "
        f"WHERE indexrelid = 'session_router.{index}'::regclass",
    )
    half_built, half_checked = await migrate.check(Target(postgres_url))
    assert half_built.startswith(f"agent_streams: index {index} was never finished")
    assert "REINDEX INDEX CONCURRENTLY" in half_built
    assert "interrupt_signals_action_check holds for new rows only" in half_checked

    await query(postgres_url, f"REINDEX INDEX CONCURRENTLY session_router.{index}")
    await execute(
        postgres_url, f"ALTER TABLE {signals} VALIDATE CONSTRAINT interrupt_signals_action_check"
    )
    assert await migrate.check(Target(postgres_url)) == []


async def test_check_leaves_a_hosts_own_tables_alone(database_url: str) -> None:
    await execute(database_url, "CREATE TABLE accounts (id INTEGER PRIMARY KEY)")
    assert await migrate.check(Target(database_url)) == []


async def test_a_revision_that_is_not_known_is_told_of(database_url: str) -> None:
    table = qualified(database_url, VERSION_TABLE)
    with pytest.raises(SchemaError, match="no_such"):
        await migrate.upgrade(Target(database_url), "no_such")
    await execute(
        database_url,
        f"UPDATE {table} SET version_num = 'from_the_future'",
        f"UPDATE {qualified(database_url, OLDEST_CODE_TABLE)} SET revision = 'from_the_future'",
    )
    [difference] = await migrate.check(Target(database_url))
    assert "install the version that made it" in difference
    with pytest.raises(SchemaError, match="from_the_future"):
        await migrate.upgrade(Target(database_url))


async def test_operations_on_a_database_without_tables_name_the_remedy(empty_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(empty_url)
    with pytest.raises(SchemaError, match="session-router db upgrade"):
        await SessionManager(repository).start_session("s")
    await repository.close()


async def test_a_hosts_own_sessions_table_is_never_touched(postgres_url: str) -> None:
    await execute(
        postgres_url,
        "CREATE TABLE public.sessions (session_id TEXT)",
        "INSERT INTO public.sessions VALUES ('mine')",
    )
    await fill(postgres_url)
    await migrate.downgrade(Target(postgres_url), "base")
    engine = create_engine(postgres_url)
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT * FROM public.sessions"))).all() == [("mine",)]
    await engine.dispose()


async def test_another_schema_holds_tables_of_its_own(postgres_url: str) -> None:
    other = Target(postgres_url, "second_router")
    await migrate.upgrade(other)
    assert await migrate.check(other) == []
    repository = SQLAlchemySessionRepository.from_url(postgres_url, schema="second_router")
    await SessionManager(repository).start_session("s")
    await repository.close()
    first = SQLAlchemySessionRepository.from_url(postgres_url)
    assert await first.find_session("s") is None
    await first.close()


async def test_the_sql_of_a_range_can_be_printed(database_url: str) -> None:
    target = Target(database_url)
    up, down = await migrate.sql(target), await migrate.sql(target, "0001:base")
    assert "CREATE TABLE" in up
    assert "DROP TABLE" in down
    if not target.is_sqlite:
        assert "CREATE SCHEMA IF NOT EXISTS session_router" in up
