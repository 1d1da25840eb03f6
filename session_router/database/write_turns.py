"""Fair turns at writing one SQLite file, among the tasks of a process and among processes.

SQLite lets one connection write at a time; who finds the file busy sleeps and tries again, ever
longer, so that under four busy writers some are passed over until they give up ('database is
locked'). Here writers queue instead, before they ask SQLite at all.

Two advisory locks on files beside the database make a turnstile: a writer passes the gate only
to wait for the pen, and holds the gate until it has the pen. Whoever just wrote finds the gate
held by the next in line, so it cannot take two turns in a row while others wait.
"""

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

_POLL_SEC: Final = 0.001


class WriteTurns:
    """An async context manager that is entered by one writer of `database` at a time.

    Args:
        database: the SQLite file, or None for a database in memory, which no other process sees.
    """

    def __init__(self, database: Path | None) -> None:
        self._tasks = asyncio.Lock()
        self._gate = _FileLock(database, ".turn-gate") if database else None
        self._pen = _FileLock(database, ".turn-pen") if database else None

    async def __aenter__(self) -> None:
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


class _FileLock:
    """An exclusive `flock`, which the kernel gives up for a process that dies.

    It is tried for every millisecond rather than waited for in a thread: a thread that waits
    cannot be cancelled, and a wait must end with its caller's deadline.
    """

    def __init__(self, database: Path, suffix: str) -> None:
        self._path = database.with_name(database.name + suffix)
        self._descriptor: int | None = None

    async def acquire(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(_POLL_SEC)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
