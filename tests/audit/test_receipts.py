"""Receipts of erasures: they hold, but for where an old backup brings the names back."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from session_router import AgentId, InvalidSettingError, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase, erase_again, erase_owner
from session_router.audit.keys import NO_KEYS, AuditKeys
from session_router.audit.receipts import OwnerReceipt, Receipt, broken_receipt, read_receipt
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.errors import InvalidValueError
from session_router.pseudonyms import ErasureKey
from tests.audit.conftest import KEY, tamper
from tests.audit.test_retention import now
from tests.cli.program import Program
from tests.support.databases import PostgresDatabases, run
from tests.support.postgres import installed_program
from tests.support.sql import plain, run_script


async def backed_up(url: str, folder: Path) -> Path:
    """A backup of a database, in a file."""
    file = folder / "backup"
    if url.startswith("sqlite"):
        source = str(make_url(url).database)
        with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(file)) as copy:
            there.backup(copy)
        return file
    command = [str(installed_program("pg_dump")), "--file", str(file), "-d", plain(url)]
    await asyncio.to_thread(subprocess.check_call, command)
    return file


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """A database of the same kind, without tables."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'restored.db'}"
        return
    postgres: PostgresDatabases = request.getfixturevalue("postgres")
    with postgres.fresh(empty=True) as url:
        yield url


async def restored(file: Path, url: str) -> None:
    if url.startswith("sqlite"):
        await asyncio.to_thread(shutil.copy, file, str(make_url(url).database))
    else:
        script = await asyncio.to_thread(file.read_text)
        await asyncio.to_thread(run_script, url, script)


async def talk(repository: SQLAlchemySessionRepository, session_id: str, owner: str) -> None:
    """A life of a session with a stream in it, told to its end."""
    async with SessionManager(repository) as manager:
        await manager.start_session(session_id, owner=owner)
        await manager.register_agent(session_id, AgentId("writer", "anns-key"))
        await manager.end_session(session_id, actor="anns-boss", reason="anns-why")


async def erased(trail: Trail, keys: AuditKeys, what: str) -> Receipt | OwnerReceipt:
    if what == "session":
        receipt: Receipt | OwnerReceipt | None = await erase(trail, "anns-chat", keys, "officer")
    else:
        receipt = await erase_owner(trail, "ann", keys, "officer")
    assert receipt is not None
    return receipt


@pytest.mark.parametrize("what", ["session", "owner"])
async def test_a_receipt_holds_also_when_the_trail_was_pruned(
    repository: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, what: str
) -> None:
    await talk(repository, "anns-chat", "ann")
    receipt = await erased(trail, keys, what)
    assert await broken_receipt(trail, receipt, keys) == []
    assert await broken_receipt(trail, receipt, NO_KEYS) == []
    assert (await prune(trail, now(), keys)).stories == 1
    assert await broken_receipt(trail, receipt, keys) == []
    other = AuditKeys(ErasureKey("another key than the one of then"))
    with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_ERASURE_KEY"):
        await broken_receipt(trail, receipt, other)


@pytest.mark.parametrize("what", ["session", "owner"])
async def test_names_that_an_old_backup_brings_back_are_found_and_erased_again(
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    database_url: str,
    elsewhere: str,
    tmp_path: Path,
    what: str,
) -> None:
    await talk(repository, "anns-chat", "ann")
    await SessionManager(repository).start_session("anns-chat", owner="ann")
    await seal(trail, keys)
    backup = await backed_up(database_url, tmp_path)
    receipt = await erased(trail, keys, what)
    await repository.close()

    await restored(backup, elsewhere)
    old = SQLAlchemySessionRepository.from_url(elsewhere)
    async with Trail.opened(elsewhere) as there:
        named, unrecorded = await broken_receipt(there, receipt, keys)
        assert named.counts == {"lives that are named again": 2}
        assert unrecorded.counts == {"lives erased": 2, "recorded": 0}
        again = await erase_again(there, receipt, keys, "officer")
        assert again is not None
        assert (again.request_id, again.lives, again.events) == (
            receipt.request_id,
            receipt.lives,
            receipt.events,
        )
        assert await broken_receipt(there, receipt, keys) == []
        assert (await verify(there, keys)).violations == []
        # What begins from then on is not what the receipt is of.
        await talk(old, "anns-chat", "ann")
        await SessionManager(old).start_session("anns-chat", owner="ann")
        assert await erase_again(there, receipt, keys, "officer") is None
        assert await broken_receipt(there, receipt, keys) == []
        assert len(await old.list_events("anns-chat")) == 6
        assert await old.get_session("anns-chat") is not None
    await old.close()


async def test_an_erasure_whose_record_is_gone_is_found(
    repository: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    await talk(repository, "anns-chat", "ann")
    receipt = await erased(trail, keys, "session")
    await tamper(
        database_url, "DELETE FROM session_router.session_events WHERE event = 'session_erased'"
    )
    [found] = await broken_receipt(trail, receipt, keys)
    assert found.counts == {"lives erased": 1, "recorded": 0}


def test_a_person_keeps_a_receipt_and_has_it_checked(
    program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", KEY)

    async def fill() -> None:
        repository = SQLAlchemySessionRepository.from_url(database_url)
        await talk(repository, "anns-chat", "ann")
        await repository.close()

    run(fill())
    kept = program.folder / "receipt.json"
    kept.write_text(program("sessions", "erase", "anns-chat", "--json").out)

    assert program("audit", "verify", "--receipt", str(kept)).code == 0
    nothing = program("sessions", "erase", "--again", str(kept))
    assert (nothing.code, "nothing was erased" in nothing.err) == (0, True)
    run(fill())
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"erased_at": "2999-01-01T00:00Z"}))
    done = program("audit", "verify", "--receipt", str(kept))
    assert (done.code, "receipt: request" in done.out) == (1, True)
    again = program("sessions", "erase", "--again", str(kept), "--json")
    assert (again.code, again.json["was_live"], again.json["events"]) == (0, False, 5)
    both = program("sessions", "erase", "anns-chat", "--again", str(kept))
    assert (both.code, "one of them" in both.err) == (2, True)


@pytest.mark.parametrize("content", ["", "no JSON", "{}", "[]", '{"session_id": "x"}'])
def test_a_file_without_a_receipt_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "receipt"
    file.write_text(content)
    with pytest.raises(InvalidValueError, match="holds no receipt"):
        read_receipt(file)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_receipt(tmp_path)
