"""A downgrade below the audit destroys no seal and no record without being told to."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from session_router import InvalidValueError, SQLAlchemySessionRepository
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.audit.test_retention import now
from tests.cli.program import Program
from tests.support.by_hand import execute
from tests.support.sql import run_script

RECORDS = ("seals", "erasures", "prunings")
TOLD = (
    "SELECT event, actor, detail FROM session_router.session_events "
    "WHERE session_id = 'audit-discarded' ORDER BY event_id"
)


async def record(trail: Trail, keys: AuditKeys, kind: str) -> None:
    if kind == "seals":
        assert await seal(trail, keys)
    elif kind == "erasures":
        assert await erase(trail, "over", keys) is not None
    else:
        assert (await prune(trail, now(), keys)).stories == 1


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("revision", ["0002", "base"])
async def test_what_would_be_lost_is_named_and_kept(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    kind: str,
    revision: str,
) -> None:
    await record(trail, keys, kind)

    with pytest.raises(InvalidValueError, match=rf"1 {kind}.*--discard-audit"):
        await migrate.downgrade(Target(database_url), revision)

    assert await migrate.current(Target(database_url)) == migrate.head()
    assert (await verify(trail, keys)).violations == []


async def test_what_is_given_up_is_told_in_the_trail(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    for kind in RECORDS[:2]:
        await record(trail, keys, kind)

    await migrate.downgrade(Target(database_url), "0002", discard_audit=True, actor="ann")

    told: Sequence[Sequence[str]] = await execute(database_url, TOLD)
    assert [tuple(row)[:2] for row in told] == [
        ("session_started", None),
        ("session_ended", "ann"),
    ]
    assert json.loads(told[1][2]) == {"audit discarded": {"erasures": 1, "seals": 1}}
    await migrate.upgrade(Target(database_url))
    assert (await verify(trail, keys)).violations == []
    assert len(await stories.list_events("audit-discarded")) == 2


async def test_where_nothing_is_recorded_nothing_is_asked_or_told(
    stories: SQLAlchemySessionRepository, database_url: str
) -> None:
    await migrate.downgrade(Target(database_url), "0002")
    assert await execute(database_url, TOLD) == []


@pytest.mark.parametrize("kind", RECORDS)
async def test_the_printed_sql_fails_where_something_would_be_lost(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    kind: str,
) -> None:
    await record(trail, keys, kind)
    script = await migrate.sql(Target(database_url), "head:0001")

    with pytest.raises(AssertionError, match="would be lost"):
        run_script(database_url, script)

    assert await migrate.current(Target(database_url)) == migrate.head()
    assert await execute(database_url, TOLD) == []


async def test_the_command_asks_for_its_flag(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await seal(trail, keys)
    program = Program(tmp_path, monkeypatch, capsys)
    down = ["db", "downgrade", "0002", "--database-url", database_url]

    refused = await program.call(*down)
    assert (refused.code, "1 seals" in refused.err) == (2, True)

    assert (await program.call(*down, "--discard-audit")).code == 0
