"""Transactions that survive their callers, and wait for locked rows without a connection."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import logs
from session_router.database.connections import Connections
from session_router.database.faults import translated
from session_router.database.session_locks import SessionLocks
from session_router.errors import ContentionError, DeadlineExceededError

C = TypeVar("C")
T = TypeVar("T")
Operation = Callable[[AsyncConnection], Awaitable[T]]
Connecting = Callable[[], AbstractAsyncContextManager[C]]

# Together they are fewer than a pool has connections (15), so that batches always find some.
_WRITES_AT_ONCE: Final = 6
_RETRIES_AT_ONCE: Final = 2
_READS_AT_ONCE: Final = 5
_FIRST_PAUSE_SEC: Final = 0.005
_LONGEST_PAUSE_SEC: Final = 0.25


class _Commits(Enum):
    NEVER = "it only reads"
    AT_ITS_END = "by a COMMIT"
    BY_ITSELF = "as soon as the server has it"


@dataclass(slots=True)
class _Work(Generic[C, T]):
    """An operation, where its connections come from, and with how many others it is under way.

    Attributes:
        has_place: whether an attempt is among those under way: it goes on without its caller,
            since in the middle of connecting, or of a query, a connection is of no use.
        commits: when what it writes is committed, until which nothing is written.
        may_have_written: whether that is under way.
        in_the_way: what the last attempt met, where that was rolled back.
    """

    operation: Callable[[C], Awaitable[T]]
    connecting: Connecting[C]
    limit: asyncio.Semaphore
    commits: _Commits
    deadline: float = math.inf
    has_place: bool = False
    may_have_written: bool = False
    in_the_way: ContentionError | None = None


class Transactions:
    """Runs operations, each in a transaction of its own, in a task of its own.

    A caller that is cancelled goes at once; its transaction, once begun, goes on to its end, so
    that no connection is given back in the middle of a query. The deadline bounds both, and only
    so many are under way at once.

    Rows that another transaction holds are not waited for with a connection in hand: the attempt
    fails at once, and is made again after a pause that grows. So rows that are held, however
    many, delay only those who want them.

    Args:
        connections: where to get them.
        deadline_sec: how long a caller waits, and an operation may take, all waits included.
    """

    def __init__(self, connections: Connections, deadline_sec: float) -> None:
        self._connections = connections
        self._deadline_sec = deadline_sec
        self._session_locks = SessionLocks()
        self._writes = asyncio.Semaphore(_WRITES_AT_ONCE)
        self._retries = asyncio.Semaphore(_RETRIES_AT_ONCE)
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)
        self._running: set[asyncio.Task[Any]] = set()

    async def write(
        self,
        operation: Operation[T],
        *,
        session_id: str | None = None,
        deadline: float | None = None,
    ) -> T:
        """Run `operation` and commit, or roll back what it wrote.

        It may be run more than once, each time in a new transaction.

        Args:
            session_id: the session whose row the operation locks, where it is just one.
            deadline: by when, by the event loop's clock, where that is sooner.

        Raises:
            DeadlineExceededError: no answer in time; whether it committed is unknown, unless
                the error says that nothing was written.
            DatabaseError: the database failed it.
        """
        lock = nullcontext() if session_id is None else self._session_locks.at(session_id)
        by = math.inf if deadline is None else deadline
        writing = self._connections.writing
        work = _Work(operation, writing, self._writes, _Commits.AT_ITS_END, deadline=by)
        return await self._run(work, lock)

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation`, which only reads; it waits for no writer. Raises as `write`."""
        reading = self._connections.reading
        return await self._run(_Work(operation, reading, self._reads, _Commits.NEVER))

    async def single(self, operation: Operation[T]) -> T:
        """Run an `operation` of one statement. Raises as `write`."""
        return await self.run(operation, self._connections.single)

    async def close(self) -> None:
        """Wait until the transactions of callers that went away have ended."""
        while self._running:
            await asyncio.wait(self._running)
        await self._connections.close()

    async def run(self, operation: Callable[[C], Awaitable[T]], connecting: Connecting[C]) -> T:
        """Run an `operation` that commits by itself on what `connecting` gives.

        Otherwise as `write`, which see.
        """
        return await self._run(_Work(operation, connecting, self._writes, _Commits.BY_ITSELF))

    async def _run(
        self, work: _Work[C, T], lock: AbstractAsyncContextManager[None] | None = None
    ) -> T:
        latest = asyncio.get_running_loop().time() + self._deadline_sec
        work.deadline = min(work.deadline, latest)
        try:
            async with asyncio.timeout_at(work.deadline), lock or nullcontext():
                return await self._until_unlocked(work)
        except TimeoutError:
            if work.may_have_written:
                raise DeadlineExceededError.of(self._deadline_sec) from None
            raise DeadlineExceededError.nothing_done(self._deadline_sec, work.in_the_way) from None

    async def _until_unlocked(self, work: _Work[C, T]) -> T:
        """Attempt it until no other transaction is in the way."""
        pause = _FIRST_PAUSE_SEC
        while True:
            try:
                return await self._attempt(work)
            except ContentionError as error:
                work.has_place, work.may_have_written, work.in_the_way = False, False, error
            await asyncio.sleep(pause)
            pause, work.limit = min(pause * 2, _LONGEST_PAUSE_SEC), self._retries

    async def _attempt(self, work: _Work[C, T]) -> T:
        task = asyncio.create_task(self._transact(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not work.has_place:
                task.cancel()
            task.add_done_callback(_report_orphan)
            raise

    async def _transact(self, work: _Work[C, T]) -> T:
        """One transaction. Only its deadline ends it, and once: nothing disturbs its clean-up."""
        try:
            async with asyncio.timeout_at(work.deadline), work.limit:
                work.has_place = True
                with translated(nothing_written=work.commits is _Commits.NEVER):
                    async with work.connecting() as conn:
                        work.may_have_written = work.commits is _Commits.BY_ITSELF
                        result = await work.operation(conn)
                        work.may_have_written = work.commits is not _Commits.NEVER
                return result
        except TimeoutError:
            raise DeadlineExceededError.of(self._deadline_sec) from None


def _report_orphan(task: asyncio.Task[Any]) -> None:
    """The caller is gone; what its transaction met is for the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logs.abandoned_operation_failed(error)
