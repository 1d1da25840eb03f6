"""What only reads works on a standby, where nothing can be written and no table made."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.databases import run
from tests.support.postgres import PostgresServer
from tests.support.sql import query
from tests.support.standby import Standby
from tests.support.waiting import eventually

READS = [
    ["db", "check"],
    ["db", "current"],
    ["sessions", "list"],
    ["sessions", "show", "a"],
    ["events", "a"],
    ["workers"],
    ["report", "sessions"],
    ["report", "live"],
    ["audit", "verify"],
    ["audit", "seals"],
]


async def use(url: str) -> None:
    await migrate.upgrade(Target(url))
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("a", AgentId("writer", "1"))
        await manager.register_agent("b", AgentId("writer", "1"))
        await manager.end_session("b")
    await repository.close()


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        run(use(server.url()))
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[Standby]:
    with Standby(primary) as server:
        server.wait_until_it_has(primary)
        yield server


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "session_router", *words, "--database-url", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_every_command_that_reads_does(standby: Standby, words: list[str]) -> None:
    done = command(standby.url(), *words)
    assert done.returncode == 0, done.stderr


def test_the_check_says_what_it_cannot_compare_and_where_it_can(standby: Standby) -> None:
    done = command(standby.url(), "db", "check")
    assert "were not compared: this is a standby" in done.stderr
    assert "check the primary" in done.stderr


def test_an_upgrade_there_is_refused(standby: Standby) -> None:
    done = command(standby.url(), "db", "upgrade", "0001")
    assert done.returncode != 0
    assert "the database is a standby; migrate the primary." in done.stderr


async def test_the_check_finds_there_what_can_be_found(
    primary: PostgresServer, standby: Standby
) -> None:
    await query(primary.url(), "DROP INDEX session_router.agent_streams_worker_id_idx")
    await query(primary.url(), "ALTER TABLE session_router.hooks ALTER events TYPE varchar(9)")
    await query(primary.url(), "DROP VIEW session_router.report_live")
    await query(primary.url(), "DROP TRIGGER audit_seals_append_only ON session_router.audit_seals")
    await query(
        primary.url(),
        "CREATE OR REPLACE FUNCTION session_router.touch_sessions(ids text[], resolution interval)"
        " RETURNS TABLE (session_id text, start_time timestamptz, last_updated timestamptz,"
        " agents text[], is_busy boolean) LANGUAGE plpgsql AS 'BEGIN END'",
    )
    standby.wait_until_it_has(primary)

    async def found() -> bool:
        faults = " ".join(await migrate.check(Target(standby.url())))
        return all(
            said in faults
            for said in (
                "index agent_streams_worker_id_idx is missing",
                "column events differs: it is: character varying(9) not null",
                "view report_live is missing",
                "trigger audit_seals_append_only is missing",
                "function touch_sessions differs",
            )
        )

    await eventually(found)


async def test_a_role_without_temporary_tables_compares_as_much(primary: PostgresServer) -> None:
    database = primary.create_database("hardened")
    await migrate.upgrade(Target(database))
    for statement in (
        "REVOKE TEMPORARY ON DATABASE hardened FROM PUBLIC",
        "CREATE ROLE reads LOGIN PASSWORD 'reads'",
        "GRANT USAGE ON SCHEMA session_router TO reads",
        "GRANT SELECT ON ALL TABLES IN SCHEMA session_router TO reads",
    ):
        await query(database, statement)
    reads = database.replace("//postgres:", "//reads:").replace("s3cret-pw", "reads")
    assert await migrate.check(Target(reads)) == []
    assert "no temporary table" in str(await migrate.left_out_of_check(Target(reads)))
    assert await migrate.left_out_of_check(Target(database)) is None
