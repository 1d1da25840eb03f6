"""The files beside an SQLite database by whose locks processes take turns at writing it."""

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from typing import Final

from session_router.database.sqlite_file import refuse_read_only
from session_router.errors import DatabaseUnavailableError

_POLL_SEC: Final = 0.001
_POLLS_UNTIL_HANDED_OVER: Final = 200
# Reading is all that a lock needs. Nobody follows a link that another has put in a shared folder.
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class LockFile:
    """An exclusive `flock`, which the kernel gives up for a process that dies.

    It is tried for every millisecond rather than waited for in a thread: a thread that waits
    cannot be cancelled, and a wait must end with its caller's deadline.

    The file lies beside the real one, whatever links led to that, since all who write one file
    have to meet in one queue. Its owner, group and mode are the database's, as with SQLite's own
    files beside it, so that root may look in without locking the database's user out.

    Args:
        database: the SQLite file.
        suffix: of this file's name.
    """

    def __init__(self, database: Path, suffix: str) -> None:
        self._database = database
        self._suffix = suffix
        self._descriptor: int | None = None

    async def acquire(self) -> None:
        """Wait for the lock.

        Raises:
            DatabaseUnavailableError: the database can only be read, or this file not be opened.
        """
        real = self._database.resolve()
        refuse_read_only(real)
        path = real.with_name(real.name + self._suffix)
        try:
            self._descriptor = await _opened(path, real)
            await _locked(self._descriptor)
        except OSError as error:
            self.forget()
            raise _cannot_take_turns(path, error) from error
        except BaseException:
            self.forget()
            raise

    def release(self) -> None:
        """Give the lock up, also where a forked child has inherited the descriptor."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close the file; whoever shares the descriptor since a fork keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


async def _locked(descriptor: int) -> None:
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await asyncio.sleep(_POLL_SEC)


async def _opened(path: Path, database: Path) -> int:
    for _ in range(_POLLS_UNTIL_HANDED_OVER):
        with suppress(PermissionError):
            return _open(path, database)
        # Whoever makes it at this moment is about to give it to the database's owner.
        await asyncio.sleep(_POLL_SEC)
    return _open(path, database)


def _open(path: Path, database: Path) -> int:
    """Open the file, or make it; one that another user left behind is given to its owner."""
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another made it first
            os.close(os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666))
        descriptor = os.open(path, _OPEN)
    try:
        _make_alike(descriptor, database)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make_alike(descriptor: int, database: Path) -> None:
    """Give it the database's owner, group and mode, as far as this user may."""
    try:
        like = database.stat()
    except FileNotFoundError:  # it is about to be made, by this user
        return
    found, user = os.fstat(descriptor), os.geteuid()
    if user == 0 and found.st_uid != like.st_uid:
        os.fchown(descriptor, like.st_uid, -1)
    if user in (0, found.st_uid) and found.st_gid != like.st_gid:
        with suppress(PermissionError):  # a group that this user is not in
            os.fchown(descriptor, -1, like.st_gid)
    if user in (0, found.st_uid) and S_IMODE(found.st_mode) != S_IMODE(like.st_mode):
        os.fchmod(descriptor, S_IMODE(like.st_mode))


def _cannot_take_turns(path: Path, error: OSError) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"the file {str(path)!r}, by which processes take turns at writing the database, cannot be "
        f"opened ({error.strerror}); nothing was written. Give it the owner and mode of the "
        "database file, or delete it while nobody writes.",
        nothing_written=True,
    )
