"""The files by which processes take turns at writing an SQLite file: whose they are, and where."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from stat import S_IMODE
from tempfile import TemporaryDirectory

import pytest

from session_router import DatabaseUnavailableError, SessionManager, SQLAlchemySessionRepository
from session_router.database.sqlite_lock import SqliteLock
from tests.support.permissions import python_bound_by_modes

NOBODY = 65534
SUFFIXES = (".turn-gate", ".turn-pen")
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


async def write(url: str, session_id: str = "s") -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    try:
        await SessionManager(repository).start_session(session_id)
    finally:
        await repository.close()


def owner_and_mode(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, S_IMODE(found.st_mode)


def turn_files(url: str) -> list[Path]:
    database = path_of(url)
    return [database.with_name(database.name + suffix) for suffix in SUFFIXES]


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def lying_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*.turn-*") if "folder" not in file.parts]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
async def test_turn_files_have_the_databases_mode(sqlite_url: str, mode: int) -> None:
    path_of(sqlite_url).chmod(mode)
    await write(sqlite_url)
    path_of(sqlite_url).chmod(0o660)  # changed since
    await write(sqlite_url)
    assert [owner_and_mode(file)[2] for file in turn_files(sqlite_url)] == [0o660, 0o660]


@only_root
async def test_what_root_makes_belongs_to_the_databases_owner(sqlite_url: str) -> None:
    os.chown(path_of(sqlite_url), NOBODY, NOBODY)
    path_of(sqlite_url).chmod(0o600)
    await write(sqlite_url)
    for file in turn_files(sqlite_url):
        assert owner_and_mode(file) == (NOBODY, NOBODY, 0o600)


@only_root
async def test_root_gives_back_what_root_once_kept(sqlite_url: str) -> None:
    os.chown(path_of(sqlite_url), NOBODY, NOBODY)
    for file in turn_files(sqlite_url):
        file.touch(0o600)
    await write(sqlite_url)
    assert {owner_and_mode(file)[:2] for file in turn_files(sqlite_url)} == {(NOBODY, NOBODY)}


AS_A_MEMBER = """
import asyncio, os, sys
from tests.database.test_lock_files import write

first, second = sys.argv[1:]
asyncio.run(write(first))  # imports what is needed, while this user may read it
os.setgroups([12345])
os.setgid(65534)
os.setuid(65534)
asyncio.run(write(second))
"""


@only_root
def test_the_databases_group_may_take_turns(sqlite_url: str) -> None:
    with TemporaryDirectory() as folder:
        shared = Path(shutil.copy(path_of(sqlite_url), folder))
        for path, mode in ((shared.parent, 0o770), (shared, 0o660)):
            os.chown(path, 0, 12345)
            path.chmod(mode)
        url = f"sqlite:///{shared}"
        subprocess.run(
            [sys.executable, "-c", AS_A_MEMBER, sqlite_url, url],
            cwd=Path(__file__).parents[2],
            check=True,
        )
        for file in turn_files(url):
            assert owner_and_mode(file) == (NOBODY, 12345, 0o660)


async def test_a_turn_file_that_cannot_be_opened_is_named(sqlite_url: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    turn_files(sqlite_url)[0].symlink_to(victim)  # as somebody else might, in a shared folder
    with pytest.raises(DatabaseUnavailableError, match="turn-gate") as raised:
        await write(sqlite_url)
    assert raised.value.nothing_written
    assert not victim.exists()


def test_a_turn_file_of_another_is_named(sqlite_url: str, tmp_path: Path) -> None:
    gate = turn_files(sqlite_url)[0]
    gate.touch()
    if os.geteuid() == 0:
        os.chown(gate, NOBODY, NOBODY)
    gate.chmod(0)
    script = "import asyncio, sys; from tests.database.test_lock_files import write; "
    done = python_bound_by_modes("-c", f"{script}asyncio.run(write(sys.argv[1]))", sqlite_url)
    assert "DatabaseUnavailableError: the file" in done.stderr
    assert str(gate) in done.stderr.splitlines()[-1]


async def test_every_name_of_a_file_leads_to_one_queue(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(path_of(sqlite_url))
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("elsewhere/link.db", "folder/session_router.db"):
        await write(f"sqlite:///{tmp_path}/{name}", name)
    assert sorted(lying_in(tmp_path)) == sorted(turn_files(sqlite_url))


FORKS = """
import asyncio, os, sys
from pathlib import Path
from session_router.database.sqlite_lock import SqliteLock

turns = SqliteLock(Path(sys.argv[1]))
outlives, let_go = os.pipe()

def child_that_stays():
    if os.fork() == 0:
        os.close(let_go)
        os.read(outlives, 1)  # until all who hold the other end have gone
        os._exit(0)

async def take(which):
    async with asyncio.timeout(60), which:
        return
"""
IN_THE_PARENT = """
async def main():
    async with turns:
        child_that_stays()
    await take(SqliteLock(Path(sys.argv[1])))

asyncio.run(main())
"""
THE_HOLDER_DIES = """
async def main():
    async with turns:
        child_that_stays()
        os._exit(0)

if (holder := os.fork()) == 0:
    asyncio.run(main())
os.waitpid(holder, 0)
asyncio.run(take(turns))
"""
IN_THE_CHILD = """
async def main():
    async with turns:
        child = os.fork()
        if child == 0:
            os.close(left)
            os.read(gone, 1)  # until the parent has left its turn
            asyncio.events._set_running_loop(None)
            asyncio.run(take(turns))
            os._exit(0)
        os.close(gone)
    os.close(left)
    _, status = os.waitpid(child, 0)
    sys.exit(status)

gone, left = os.pipe()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(IN_THE_PARENT, id="a child of who gave the turn up"),
        pytest.param(THE_HOLDER_DIES, id="a child of who died with the turn"),
        pytest.param(IN_THE_CHILD, id="a child that writes itself"),
    ],
)
def test_a_forked_child_keeps_nobody_from_writing(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS + script, str(tmp_path / "s.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_turn_that_is_waited_for_ends_with_its_waiter(tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    async with SqliteLock(database):
        waiting = SqliteLock(database)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), waiting:
                raise AssertionError("two have the turn")
    async with waiting:
        pass
