"""Fair turns at writing one SQLite file, among the tasks of a process and among processes.

SQLite lets one connection write at a time; who finds the file busy sleeps and tries again, ever
longer, so that under four busy writers some are passed over until they give up ('database is
locked'). Here writers queue instead, before they ask SQLite at all.

Two advisory locks on files beside the database make a turnstile: a writer passes the gate only
to wait for the pen, and holds the gate until it has the pen. Whoever just wrote finds the gate
held by the next in line, so it cannot take two turns in a row while others wait.
"""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Final
from weakref import WeakSet

from session_router.database.lock_files import LockFile


class SqliteLock:
    """An async context manager that is entered by one writer of `database` at a time.

    Args:
        database: the SQLite file, or None for a database in memory, which no other process sees.
    """

    def __init__(self, database: Path | None) -> None:
        self._tasks = asyncio.Lock()
        self._gate = LockFile(database, ".turn-gate") if database else None
        self._pen = LockFile(database, ".turn-pen") if database else None
        _all_locks.add(self)

    async def __aenter__(self) -> None:
        """Wait for the turn.

        Raises:
            DatabaseUnavailableError: the database may only be read, or its turns not be taken.
        """
        await self._tasks.acquire()
        try:
            if self._gate and self._pen:
                await self._gate.acquire()
                try:
                    await self._pen.acquire()
                finally:
                    self._gate.release()
        except BaseException:
            self._tasks.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pen:
            self._pen.release()
        self._tasks.release()

    def give_back_what_the_parent_holds(self) -> None:
        """In a forked child: the turn that is under way is the parent's, and so are its waiters."""
        self._tasks = asyncio.Lock()
        for file in (self._gate, self._pen):
            if file:
                file.forget()


_all_locks: Final[WeakSet[SqliteLock]] = WeakSet()


def _in_forked_child() -> None:
    for lock in list(_all_locks):
        lock.give_back_what_the_parent_holds()


os.register_at_fork(after_in_child=_in_forked_child)
