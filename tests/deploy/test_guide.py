"""docs/deploy.md says what is so: its manifests, its unit, its roles and its commands."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import asyncpg
import pytest
import yaml
from sqlalchemy import make_url

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.pseudonyms import ErasureKey
from session_router.settings import Settings
from tests.cli.program import Program
from tests.support.databases import PostgresDatabases
from tests.support.sql import query, run_script

GUIDE = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
PROGRAM = "/opt/session-router/bin/session-router"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def database(postgres: PostgresDatabases) -> Iterator[str]:
    """An empty database, on a server that has none of the guide's roles."""
    with postgres.fresh(empty=True) as url:
        yield url
        roles = "session_router_worker, session_router_retention, session_router_owner"
        run_script(url, f"DROP OWNED BY {roles}; DROP ROLE {roles};")


def signed_in(url: str, role: str) -> str:
    return (
        make_url(url).set(username=role, password="change-me").render_as_string(hide_password=False)
    )


async def granted(program: Program, database: str) -> None:
    """Run what the guide has the owner run after an upgrade."""
    [printing] = [block for block in blocks("sh") if "db grants" in block]
    command = printing.splitlines()[0].partition(" >")[0]
    owner = signed_in(database, "session_router_owner")
    done = await program.call(*shlex.split(command)[1:], "--database-url", owner)
    assert done.code == 0
    run_script(owner, done.out)


async def test_the_roles_have_the_rights_that_they_need_and_no_more(
    database: str, program: Program
) -> None:
    [roles] = blocks("sql")
    run_script(database, roles)
    await migrate.upgrade(Target(signed_in(database, "session_router_owner")))
    await granted(program, database)

    url = signed_in(database, "session_router_worker")
    assert await migrate.check(Target(url)) == []
    assert (await migrate.standing(Target(url))).may_run
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await manager.register_agent("s", AgentId("writer", "a"))
        await manager.interrupt_streaming_agents("s")
        await manager.end_session("s")
        await manager.expire_old_sessions()
    await repository.close()
    for forbidden in (
        "DROP TABLE session_router.session_events",
        "DELETE FROM session_router.session_events",
        "INSERT INTO session_router.session_events (event_id) VALUES (4611686018427387904)",
        "INSERT INTO session_router.audit_seals (seal_id) VALUES (1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(url, forbidden)
    async with Trail.opened(signed_in(database, "session_router_retention")) as trail:
        keys = AuditKeys(ErasureKey("an erasure key of the guide's reader"))
        assert await seal(trail, keys)
        assert await erase(trail, "s", keys) is not None
        assert (await verify(trail, keys)).violations == []


async def test_roles_that_were_given_everything_are_brought_down(
    database: str, program: Program
) -> None:
    [roles] = blocks("sql")
    run_script(database, roles)
    run_script(
        database,
        "ALTER DEFAULT PRIVILEGES FOR ROLE session_router_owner IN SCHEMA session_router "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO session_router_worker;",
    )
    owner = signed_in(database, "session_router_owner")
    await migrate.upgrade(Target(owner))
    await granted(program, database)
    await query(owner, "CREATE TABLE session_router.later ()")

    url = signed_in(database, "session_router_worker")
    for forbidden in (
        "SELECT FROM session_router.later",
        "DELETE FROM session_router.session_events",
        "DELETE FROM session_router.session_router_version",
        "INSERT INTO session_router.audit_seals (seal_id) VALUES (1)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(url, forbidden)


def test_every_command_and_every_setting_exists(program: Program) -> None:
    commands = set(re.findall(r"session-router ((?:db |sessions )?[a-z]+)", GUIDE))
    commands |= {
        " ".join(words.split(", "))
        for words in re.findall(r"\[session-router, ([a-z, ]+)[\],]", GUIDE)
    }
    known = {command for command in commands if command.split()[0] in ("db", "serve")}
    assert known >= {"db upgrade", "db downgrade", "db check", "db current", "db sql", "serve"}
    for command in known:
        assert program(*command.split(), "--help").code == 0, command
    named = set(re.findall(r"SESSION_ROUTER_([A-Z_]+)", GUIDE))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_current_tells_what_the_guide_says(program: Program, sqlite_url: str) -> None:
    [shown] = blocks("json")
    told = program("db", "current", "--json", "--database-url", sqlite_url).json
    newest = migrate.head()
    assert json.loads(shown) | {"revision": newest, "newest": newest} == told


def test_the_sql_is_printed_and_run_as_the_guide_says(
    program: Program, database: str, tmp_path: Path
) -> None:
    run_script(database, blocks("sql")[0] + "DROP SCHEMA session_router;")
    [printing] = [block for block in blocks("sh") if "up.sql" in block]
    for line in printing.splitlines()[1:]:
        command, _, file = line.split("#")[0].partition(">")
        words = [word.replace("0001:head", "base:head") for word in shlex.split(command)]
        url = ["--database-url", "postgresql://localhost/any"]
        (tmp_path / file.strip()).write_text(program(*words[1:], *url).out)
    assert {path.name for path in tmp_path.glob("*.sql")} == {"all.sql", "up.sql", "down.sql"}
    run_script(database, (tmp_path / "all.sql").read_text())
    assert program("db", "check", "--database-url", database).code == 0


def test_the_manifests_are_whole() -> None:
    [manifests] = blocks("yaml")
    documents = list(yaml.safe_load_all(manifests))
    kinds = {document["kind"]: document for document in documents}
    assert [document["kind"] for document in documents] == ["Secret", "Secret", "Job", "Deployment"]
    secrets = {d["metadata"]["name"]: set(d["stringData"]) for d in documents[:2]}
    settings = {f"SESSION_ROUTER_{name.upper()}" for name in Settings.model_fields}
    for kind in ("Job", "Deployment"):
        pod = kinds[kind]["spec"]["template"]["spec"]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["command"][0] == "session-router"
            [source] = container["envFrom"]
            assert secrets[source["secretRef"]["name"]] <= settings
    template = kinds["Deployment"]["spec"]["template"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_the_unit_is_one(tmp_path: Path) -> None:
    [unit] = blocks("ini")
    parser = ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    assert parser["Service"]["ExecStart"] == f"{PROGRAM} serve"
    assert float(parser["Service"]["TimeoutStopSec"]) > (
        Settings().shutdown_timeout_sec + Settings().drain_sec
    )
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    path = tmp_path / "session-router.service"
    path.write_text(unit.replace(PROGRAM, str(Path(sys.executable).with_name("session-router"))))
    done = subprocess.run([verifier, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
