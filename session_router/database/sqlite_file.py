"""One SQLite file: how it is opened, and whether it is still the one that was opened."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from weakref import WeakSet

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from session_router.database.pool import to_the_end
from session_router.errors import DatabaseUnavailableError, SchemaError

_SEEN: Final = "session_router_file"
_LOG: Final = "session_router_log"


class Seen(NamedTuple):
    """A file, as it lies there at one moment."""

    device: int
    inode: int
    mode: str
    """How it is to be opened now, in the words of SQLite's URIs."""


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite URL; None for a database in memory and for PostgreSQL."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def no_such_file(path: Path) -> str:
    """What is wrong, and what mends it, in one sentence."""
    return f"there is no database file {str(path)!r}: create it with 'session-router db upgrade'."


def refuse_read_only(path: Path) -> None:
    """Refuse to write a file that can only be read.

    Raises:
        DatabaseUnavailableError: the user, or the file system, may not write it or its folder.
    """
    if path.exists() and not _is_writable(path):
        raise DatabaseUnavailableError(
            f"the database file {str(path)!r} can only be read here, so nothing was written; to "
            "write, this user has to be able to write both the file and its folder.",
            nothing_written=True,
        )


def open_as_its_file(engine: AsyncEngine, path: Path, *, may_create: bool) -> None:
    """Have an engine of our own open `path` as it lies there, and create it on purpose only."""
    opening = _Opening(path, may_create)
    event.listen(engine.sync_engine, "do_connect", opening.before_connecting)
    event.listen(engine.sync_engine, "checkin", opening.at_return)
    event.listen(engine.sync_engine, "checkout", opening.at_use)
    _watched.add(engine.dialect)


async def connected(*args: Any, **options: Any) -> aiosqlite.Connection:
    """What `aiosqlite.connect` makes; where it fails, its thread has ended before that is told.

    The driver tells its thread to end, and does not wait: a program that ends its event loop at
    once, as commands do, would have the thread fail, with a traceback for its user.
    """
    connection = aiosqlite.connect(*args, **options)
    thread = connection._thread
    # As SQLAlchemy has it: a connection that nobody closed keeps no program from ending.
    thread.daemon = True
    try:
        return await connection
    except BaseException:
        await to_the_end(asyncio.to_thread(thread.join))
        raise


def notice_another_file(engine: AsyncEngine, path: Path) -> None:
    """Have an engine throw its connections away when another file has come in the place of theirs.

    What they write would be lost without a word, as their file has no name any more. How a
    host's engine opens its file stays the host's.
    """
    if engine.dialect not in _watched:
        _watched.add(engine.dialect)
        event.listen(engine.sync_engine, "checkout", _Opening(path, may_create=True).at_use)


_watched: Final[WeakSet[Dialect]] = WeakSet()


class _Opening:
    """What an engine knows of its file."""

    def __init__(self, path: Path, may_create: bool) -> None:
        self._path = path
        self._may_create = may_create
        self._was_there = False
        self._old_log_remains = False

    def before_connecting(
        self, dialect: Dialect, entry: ConnectionPoolEntry, args: list[Any], options: dict[str, Any]
    ) -> None:
        """Look before it is opened: an exchange in between is noticed at the first use."""
        seen = _look(self._path)
        if seen is None:
            self._refuse_missing()
        if self._old_log_remains:
            raise _old_log(self._path)
        mode = seen.mode if seen else "mode=rwc"
        if "immutable" in mode and _size(_beside(self._path, "-wal")):
            raise _log_cannot_be_read(self._path)
        args[:] = [f"file://{quote(os.fsencode(self._path))}?{mode}"]
        options["uri"] = True
        entry.info[_SEEN] = seen
        self._was_there = self._was_there or seen is not None

    def at_use(self, connection: object, entry: ConnectionPoolEntry, proxy: object) -> None:
        seen = _look(self._path)
        if seen == entry.info.setdefault(_SEEN, seen):
            return
        log = entry.info.get(_LOG)
        if seen and log and log == _inode(_beside(self._path, "-wal")):
            self._old_log_remains = True
        # The pool closes what it has, and connects anew, which tells what to do if that fails.
        raise InvalidatePoolError(f"another file is at {str(self._path)!r}")

    def at_return(self, connection: object, entry: ConnectionPoolEntry) -> None:
        """The log of a file appears with its first use and stays as long as it is open."""
        if _LOG not in entry.info and entry.info.get(_SEEN) == _look(self._path):
            entry.info[_LOG] = _inode(_beside(self._path, "-wal"))

    def _refuse_missing(self) -> None:
        if self._was_there:
            raise DatabaseUnavailableError(
                f"the database file {str(self._path)!r} was deleted while it was in use; put it "
                "back, or make a new one with 'session-router db upgrade'.",
                nothing_written=True,
            )
        if not self._may_create:
            raise SchemaError(no_such_file(self._path))
        if not self._path.parent.is_dir():
            raise DatabaseUnavailableError(
                f"the database file {str(self._path)!r} cannot be there, as its folder does not "
                "exist; create the folder, or name another file.",
                nothing_written=True,
            )


def _look(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatabaseUnavailableError(
            f"the database file {str(path)!r} cannot be opened ({error.strerror}); nothing was "
            "written. This user has to be able to enter its folders.",
            nothing_written=True,
        ) from error
    return Seen(found.st_dev, found.st_ino, _mode(path))


def _mode(path: Path) -> str:
    """Where nothing may be written, SQLite can read only what nobody has open, or nobody changes.

    Who has a file open in WAL mode keeps its index beside it, which others need to read along.
    """
    if _is_writable(path):
        return "mode=rw"
    if _inode(_beside(path, "-shm")):
        return "mode=ro"
    return "mode=ro&immutable=1"


def _is_writable(path: Path) -> bool:
    """SQLite needs the folder, too: for its log, its index and its journal."""
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def _beside(path: Path, suffix: str) -> Path:
    real = path.resolve()
    return real.with_name(real.name + suffix)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _old_log(path: Path) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"the database file {str(path)!r} was replaced while it was in use, and SQLite's log of "
        "the old one still lies beside it, which would be mixed into the new one; nothing was "
        "written. Stop all that use the file, delete its -wal and -shm, put the file there again, "
        "and start.",
        nothing_written=True,
    )


def _log_cannot_be_read(path: Path) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"the database file {str(path)!r} has a log beside it ({path.name}-wal) that SQLite cannot "
        "read where it may not write; copy both to a folder that this user can write.",
        nothing_written=True,
    )
