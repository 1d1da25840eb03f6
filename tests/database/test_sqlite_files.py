"""An SQLite file that is missing, deleted, replaced, read-only, damaged, or held by others."""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from stat import S_IMODE
from urllib.parse import quote

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from session_router import (
    DatabaseError,
    DatabaseUnavailableError,
    SessionManager,
    SQLAlchemySessionRepository,
)
from session_router.database.migrate import Target, check, downgrade, standing, upgrade
from session_router.errors import SchemaError
from tests.support.permissions import python_bound_by_modes

BESIDE = ("-wal", "-shm")


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@asynccontextmanager
async def used(url: str) -> AsyncIterator[tuple[SQLAlchemySessionRepository, SessionManager]]:
    """A repository that has read and written the file, so that connections are open to it."""
    repository = SQLAlchemySessionRepository.from_url(url)
    manager = SessionManager(repository)
    try:
        await manager.start_session("before")
        await repository.find_session("before")
        yield repository, manager
    finally:
        await repository.close()


@contextmanager
def each_step_of_the_driver_slow() -> Iterator[None]:
    """Have the driver's threads wait at each step, where they tell what they do."""

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.05)

    log, slow = logging.getLogger("aiosqlite"), Slow()
    level = log.level
    log.addHandler(slow)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(slow)
        log.setLevel(level)


def sessions_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT session_id FROM sessions")]


def delete(path: Path, *, with_log: bool = True) -> None:
    path.unlink()
    for suffix in BESIDE if with_log else ():
        path.with_name(path.name + suffix).unlink()


def restore(backup: Path, path: Path) -> None:
    backup.replace(path)


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def backup(sqlite_url: str, tmp_path: Path) -> Path:
    """An empty database with the tables."""
    (tmp_path / "backup").mkdir()
    return Path(shutil.copy(path_of(sqlite_url), tmp_path / "backup" / "session_router.db"))


async def test_only_an_upgrade_creates_a_missing_file(tmp_path: Path) -> None:
    target = Target(f"sqlite:///{tmp_path}/new.db")
    repository = SQLAlchemySessionRepository.from_url(target.url)
    with pytest.raises(SchemaError, match=r"no database file .*new.db.*db upgrade"):
        await repository.list_sessions()
    with pytest.raises(SchemaError, match="no database file"):
        await SessionManager(repository).start_session("s")
    with pytest.raises(SchemaError, match="no database file"):
        await downgrade(target, "base")
    assert (await standing(target)).revision is None
    assert ["no database file" in fault for fault in await check(target)] == [True]
    assert "new.db" not in names_in(tmp_path)
    await upgrade(target)
    assert await repository.list_sessions() == []
    await repository.close()


@pytest.mark.parametrize("name", ["odd ?#%41;&.db", "ähnlich.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    url = f"sqlite:////{tmp_path}/{quote(name)}"  # and one slash too many
    await upgrade(Target(url))
    async with used(url):
        assert name in names_in(tmp_path)
        assert sessions_in(tmp_path / name) == ["before"]


async def test_what_is_written_after_a_file_was_replaced_is_in_the_new_one(
    sqlite_url: str, backup: Path
) -> None:
    async with used(sqlite_url) as (repository, manager):
        delete(path_of(sqlite_url))
        restore(backup, path_of(sqlite_url))
        assert await repository.list_sessions() == []
        await manager.start_session("after")
        assert sessions_in(path_of(sqlite_url)) == ["after"]


async def test_a_log_of_the_old_file_is_not_mixed_into_the_new_one(
    sqlite_url: str, backup: Path
) -> None:
    async with used(sqlite_url) as (repository, manager):
        restore(backup, path_of(sqlite_url))
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="log of the old one") as raised:
                await manager.start_session("after")
            assert raised.value.nothing_written
        with pytest.raises(DatabaseUnavailableError, match="-wal"):
            await repository.list_sessions()


async def test_a_deleted_file_is_told_and_not_made_anew(sqlite_url: str, backup: Path) -> None:
    path = path_of(sqlite_url)
    async with used(sqlite_url) as (repository, manager):
        delete(path)
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="was deleted") as raised:
                await manager.start_session("after")
            assert raised.value.nothing_written
            with pytest.raises(DatabaseUnavailableError, match="was deleted"):
                await repository.list_sessions()
        assert path.name not in names_in(path.parent)
        restore(backup, path)
        await manager.start_session("after")
        assert sessions_in(path) == ["after"]


async def test_a_hosts_engine_goes_on_with_the_new_file(sqlite_url: str, backup: Path) -> None:
    path = path_of(sqlite_url)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.connect():  # before we come to it
        pass
    repository = SQLAlchemySessionRepository(engine)
    await SessionManager(repository).start_session("before")
    delete(path)
    restore(backup, path)
    await SessionManager(repository).start_session("after")
    assert sessions_in(path) == ["after"]
    await repository.close()
    await engine.dispose()


READ = """
import sys
from session_router.cli import main

url, *commands = sys.argv[1:]
for command in commands:
    sys.argv = ["session-router", *command.split(), "--database-url", url]
    try:
        main()
    except SystemExit as end:
        print(command, end.code)
"""
READS = (
    "sessions list",
    "sessions show before",
    "events before",
    "report sessions",
    "report concurrency",
    "workers",
    "audit verify",
    "db check",
    "db current",
)


@contextmanager
def not_to_be_written(*paths: Path) -> Iterator[None]:
    modes = {path: S_IMODE(path.stat().st_mode) for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.mark.parametrize("what", ["file", "folder", "both"])
@pytest.mark.parametrize("is_open", [False, True], ids=["alone", "beside a writer"])
async def test_what_can_only_be_read_is_read(sqlite_url: str, what: str, is_open: bool) -> None:
    path = path_of(sqlite_url)
    paths = {"file": [path], "folder": [path.parent], "both": [path, path.parent]}[what]
    async with used(sqlite_url) as (repository, manager):
        if not is_open:
            await repository.close()
        names = names_in(path.parent)
        with not_to_be_written(*paths):
            done = python_bound_by_modes("-c", READ, sqlite_url, *READS, "sweep")
        assert done.stdout.splitlines()[-1] == "sweep 3", done
        assert "can only be read" in done.stderr.splitlines()[-1]
        assert [f"{command} 0" in done.stdout for command in READS] == [True] * len(READS), done
        assert "before" in done.stdout
        assert names_in(path.parent) == names
        if is_open:
            await manager.start_session("after")


def test_a_log_that_cannot_be_read_is_told(sqlite_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    folder.mkdir()
    with closing(sqlite3.connect(path_of(sqlite_url))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO session_router_oldest_code VALUES ('0000')")
        connection.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path_of(sqlite_url)}{suffix}", folder / f"s.db{suffix}")
    with not_to_be_written(folder):
        done = python_bound_by_modes("-c", READ, f"sqlite:///{folder}/s.db", "sessions list")
    assert done.stdout.splitlines() == ["sessions list 3"]
    assert "s.db-wal" in done.stderr


async def test_a_file_that_others_hold_is_told_with_nothing_written(sqlite_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="another program holds") as raised:
            await SessionManager(repository).start_session("s")
        assert raised.value.nothing_written
        other.execute("ROLLBACK")
    await SessionManager(repository).start_session("s")
    await repository.close()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("once upon a time " * 100)
    repository = SQLAlchemySessionRepository.from_url(f"sqlite:///{path}")
    for attempt in (
        repository.list_sessions,
        lambda: SessionManager(repository).start_session("s"),
    ):
        with pytest.raises(DatabaseError, match="no SQLite database"):
            await attempt()
    await repository.close()


async def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    repository = SQLAlchemySessionRepository.from_url(f"sqlite:///{tmp_path}")
    with pytest.raises(DatabaseUnavailableError, match="cannot be opened"):
        await repository.list_sessions()
    await repository.close()


async def test_a_connection_that_fails_leaves_no_thread_behind(tmp_path: Path) -> None:
    with each_step_of_the_driver_slow():
        repository = SQLAlchemySessionRepository.from_url(f"sqlite:///{tmp_path}")
        before = set(threading.enumerate())
        with pytest.raises(DatabaseUnavailableError, match="cannot be opened"):
            await repository.list_sessions()
        left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if "connection_worker" in name] == []
    await repository.close()
