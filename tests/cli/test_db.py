"""`session-router db`, on both databases."""

import sqlite3
from contextlib import ExitStack, closing

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from session_router.database.migrate import head
from tests.cli.program import Done, Program
from tests.support.databases import PostgresDatabases, run

TABLES = {"sessions", "agent_streams", "workers", "interrupt_signals", "session_events"}


def execute(url: str, *statements: str) -> None:
    """Change a database by hand, as somebody does who should not."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parsed.database))) as connection:
            for statement in statements:
                connection.execute(statement.replace("session_router.", ""))
            connection.commit()
        return

    async def on_postgresql() -> None:
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(plain)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    run(on_postgresql())


def test_the_tables_come_and_go(program: Program, empty_url: str) -> None:
    def db(*arguments: str) -> Done:
        return program("db", *arguments, "--database-url", empty_url)

    assert db("current", "--json").json == {
        "revision": None,
        "newest": head(),
        "needs_upgrade": True,
        "may_run": False,
    }
    assert db("check").code == 1

    upgraded = db("upgrade")
    assert (upgraded.code, upgraded.out) == (0, f"the database is at {head()}\n")
    assert "upgrade -> 0001" in upgraded.err
    assert db("upgrade", "--json").json == {"revision": head(), "steps": []}
    assert db("current").out == f"{head()}, the newest that this version knows\n"
    assert db("check", "--json").json == {"ok": True, "differences": [], "left_out": None}
    assert db("history").rows[0][3] == "the database is here"

    assert db("downgrade", "base").code == 0
    assert "no tables" in db("current").out
    assert db("upgrade", "0001").code == 0


def test_the_history_needs_no_database(program: Program) -> None:
    done = program("db", "history", "--json")

    assert done.json[-1]["revision"] == "0001"
    assert done.json[-1]["down_revision"] is None
    assert list(program.folder.iterdir()) == []


def test_check_finds_what_was_changed_by_hand(program: Program, database_url: str) -> None:
    execute(database_url, "DROP INDEX session_router.agent_streams_worker_id_idx")
    if database_url.startswith("postgresql"):
        execute(
            database_url,
            "ALTER TABLE session_router.interrupt_signals "
            "DROP CONSTRAINT interrupt_signals_action_check, "
            "ADD CONSTRAINT interrupt_signals_action_check CHECK (action <> 'cancel')",
        )
    else:
        execute(
            database_url,
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = replace(sql, 'action IN (', 'action NOT IN (')",
        )

    done = program("db", "check", "--database-url", database_url)

    assert done.code == 1
    assert len(done.out.splitlines()) == 2
    assert "agent_streams: index agent_streams_worker_id_idx is missing" in done.out
    assert "interrupt_signals: constraint interrupt_signals_action_check differs" in done.out
    as_json = program("db", "check", "--json", "--database-url", database_url)
    assert (as_json.code, as_json.json["ok"]) == (1, False)
    assert as_json.json["differences"] == done.out.splitlines()


def test_of_eight_upgrades_at_once_one_does_the_work(
    program: Program, postgres: PostgresDatabases
) -> None:
    with postgres.fresh(empty=True) as url, ExitStack() as stack:
        upgrades = [
            stack.enter_context(program.process("db", "upgrade", "--json", database_url=url))
            for _ in range(8)
        ]
        told = [process.communicate(timeout=60) for process in upgrades]

        assert [process.returncode for process in upgrades] == [0] * 8, told
        assert sorted('"steps": []' in out for out, _ in told) == [False] + [True] * 7
        assert program("db", "check", "--database-url", url).code == 0


def test_the_sql_is_what_an_upgrade_would_do(program: Program, sqlite_url: str) -> None:
    up = program("db", "sql", "--database-url", sqlite_url)
    path = program.folder / "by hand.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(up.out)

    assert up.code == 0
    assert program("db", "check", "--database-url", f"sqlite:///{path}").code == 0

    down = program("db", "sql", "0001:base", "--database-url", sqlite_url)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(down.out)
        left = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not left & TABLES


def test_the_sql_for_postgresql_needs_no_server(program: Program) -> None:
    done = program("db", "sql", "--database-url", "postgresql://nobody@nowhere.invalid/none")

    assert done.code == 0
    assert "CREATE TABLE session_router.sessions" in done.out


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "sql"])
def test_an_unknown_revision_is_refused(program: Program, sqlite_url: str, command: str) -> None:
    done = program("db", command, "f00", "--database-url", sqlite_url)

    assert done.code == 4
    assert "'f00'" in done.err
    assert "session-router db history" in done.err


def test_a_database_of_a_newer_version_is_left_alone(program: Program, database_url: str) -> None:
    execute(
        database_url,
        "UPDATE session_router.session_router_version SET version_num = '9999'",
        "UPDATE session_router.session_router_oldest_code SET revision = '9999'",
    )

    for command in (["db", "upgrade"], ["db", "downgrade", "base"], ["sessions", "list"]):
        done = program(*command, "--database-url", database_url)
        assert (done.code, done.out) == (4, ""), command
        assert "9999" in done.err
    check = program("db", "check", "--database-url", database_url)
    assert check.code == 1
    assert "install the version that made it" in check.out
    assert program("db", "current", "--json", "--database-url", database_url).json == {
        "revision": "9999",
        "newest": head(),
        "needs_upgrade": False,
        "may_run": False,
    }


def test_a_newer_database_that_accepts_this_version_is_used(
    program: Program, database_url: str
) -> None:
    execute(database_url, "UPDATE session_router.session_router_version SET version_num = '9999'")

    on_it = ["--database-url", database_url]
    assert program("sessions", "list", *on_it).code == 0
    upgrade = program("db", "upgrade", *on_it)
    assert (upgrade.code, upgrade.out) == (0, "nothing to do, the database is at 9999\n")
    check = program("db", "check", *on_it)
    assert (check.code, check.out) == (
        0,
        f"the database is of a newer version (9999), and this one ({head()}) may run on it\n",
    )
    told = program("db", "current", "--json", *on_it).json
    assert (told["needs_upgrade"], told["may_run"]) == (False, True)
    assert program("db", "current", *on_it).out.endswith("this version may run on it\n")
    assert program("db", "downgrade", "base", *on_it).code == 4
