"""docs/audit.md says what is so: its SQL and its commands work."""

import re
import shlex
from pathlib import Path

import pytest

from session_router import SQLAlchemySessionRepository
from session_router.events import EventName
from session_router.repository.changes import Start
from session_router.repository.records import Requester
from tests.audit.conftest import KEY
from tests.cli.program import Program
from tests.support.by_hand import execute

DOCS = (Path(__file__).parents[2] / "docs/audit.md").read_text()
BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```", DOCS, re.DOTALL | re.MULTILINE)
STATEMENTS = [block.strip().removesuffix(";") for language, block in BLOCKS if language == "sql"]
COMMANDS = [
    line.strip()
    for language, block in BLOCKS
    for line in block.splitlines()
    if not language and line.strip().startswith("session-router ")
]


@pytest.mark.parametrize("law", [1, 2, 3])
async def test_the_law_in_sql_finds_its_breach_and_nothing_else(
    repository: SQLAlchemySessionRepository,
    stories: SQLAlchemySessionRepository,
    database_url: str,
    law: int,
) -> None:
    assert await execute(database_url, STATEMENTS[law - 1]) == []

    uid, columns = "11111111-1111-1111-1111-111111111111", "session_id, session_uid, event"
    breach = {
        1: f"({columns}, stream_id) VALUES ('x', '{uid}', 'stream_started', '{uid}')",
        2: f"({columns}) VALUES ('x', '{uid}', 'session_started')",
        3: f"({columns}, stream_id, outcome) VALUES ('x', '{uid}', 'signal_settled', '{uid}', "
        "'lost')",
    }[law]
    insert = f"INSERT INTO session_router.session_events {breach}"
    [found] = await execute(database_url, insert, STATEMENTS[law - 1])
    assert str(found[0]) == uid


def test_every_event_is_told_of() -> None:
    for name in EventName:
        assert f"`{name}`" in DOCS


async def test_every_command_works(
    stories: SQLAlchemySessionRepository,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = Program(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", KEY)
    for name in ("chat-1", "chat-2"):
        await stories.start_session(Start(name, Requester()))
    assert len(COMMANDS) >= 14

    for command in COMMANDS:
        if "grants" in command and database_url.startswith("sqlite"):
            continue
        asked, _, file = re.split("( >>? |$)", command, maxsplit=1)
        done = await program.call(*shlex.split(asked)[1:])
        assert done.code == 0, (command, done)
        if file:
            (tmp_path / file).write_text(done.out)
