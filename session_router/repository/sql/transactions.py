"""Transactions that survive their callers: no cancelled caller leaks or breaks a connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router import logs
from session_router.database.engine import for_reading, sqlite_file, with_our_transactions
from session_router.database.faults import translated
from session_router.database.write_turns import WriteTurns
from session_router.errors import DeadlineExceededError

T = TypeVar("T")
Operation = Callable[[AsyncConnection], Awaitable[T]]


class Transactions:
    """Runs operations, each in a transaction of its own, in a task of its own.

    A caller that is cancelled goes at once; its transaction goes on to its end, so that no
    connection is given back in the middle of a query. The deadline bounds both.

    Args:
        engine: whose pool to use; it is neither changed nor closed.
        deadline_sec: how long a caller waits, and a transaction may take, the wait for a
            connection included.
    """

    def __init__(self, engine: AsyncEngine, deadline_sec: float) -> None:
        self._writing = with_our_transactions(engine)
        self._reading = for_reading(self._writing)
        self._deadline_sec = deadline_sec
        self._turns: AbstractAsyncContextManager[None] = nullcontext()
        self._is_in_memory = False
        if engine.dialect.name == "sqlite":
            file = sqlite_file(engine.url)
            self._turns = WriteTurns(file)
            self._is_in_memory = file is None
        self._running: set[asyncio.Task[Any]] = set()

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` and commit, or roll back what it wrote.

        Raises:
            DeadlineExceededError: no answer in time; whether it committed is unknown.
            DatabaseError: the database failed it.
        """
        return await self._run(operation, self._written)

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation`, which only reads; it waits for no writer. Raises as `write`.

        A database in memory is one connection, which all that use it must take turns at.
        """
        return await self._run(operation, self._written if self._is_in_memory else self._read)

    async def drained(self) -> None:
        """Wait until the transactions of callers that went away have ended."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(
        self,
        operation: Operation[T],
        connected: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    ) -> T:
        task = asyncio.create_task(self._attempt(operation, connected))
        self._running.add(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline_sec)
        except asyncio.CancelledError:
            task.add_done_callback(_report_orphan)
            raise
        finally:
            task.add_done_callback(self._running.discard)
        if done:
            return task.result()
        task.cancel()
        task.add_done_callback(_report_orphan)
        raise self._late()

    async def _attempt(
        self,
        operation: Operation[T],
        connected: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
    ) -> T:
        try:
            async with asyncio.timeout(self._deadline_sec):
                with translated():
                    async with connected() as conn:
                        return await operation(conn)
        except TimeoutError as error:
            if isinstance(error, DeadlineExceededError):
                raise
            raise self._late() from None

    @asynccontextmanager
    async def _written(self) -> AsyncIterator[AsyncConnection]:
        async with self._turns, self._writing.begin() as conn:
            yield conn

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        async with self._reading.begin() as conn:
            yield conn

    def _late(self) -> DeadlineExceededError:
        return DeadlineExceededError(
            f"the database did not answer within {self._deadline_sec:g} s; whether the operation "
            "happened is unknown. Look before you repeat it, or raise the deadline."
        )


def _report_orphan(task: asyncio.Task[Any]) -> None:
    """The caller is gone; what its transaction met is for the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logs.abandoned_operation_failed(error)
