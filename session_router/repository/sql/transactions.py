"""Transactions that survive their callers: no cancelled caller leaks or breaks a connection."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import logs
from session_router.database.faults import translated
from session_router.errors import DeadlineExceededError
from session_router.repository.sql.connections import Connections
from session_router.repository.sql.session_turns import SessionTurns

C = TypeVar("C")
T = TypeVar("T")
Operation = Callable[[AsyncConnection], Awaitable[T]]


class Transactions:
    """Runs operations, each in a transaction of its own, in a task of its own.

    A caller that is cancelled goes at once; its transaction goes on to its end, so that no
    connection is given back in the middle of a query. The deadline bounds both.

    Args:
        connections: where to get them.
        deadline_sec: how long a caller waits, and a transaction may take, the wait for a
            connection included.
    """

    def __init__(self, connections: Connections, deadline_sec: float) -> None:
        self._connections = connections
        self._deadline_sec = deadline_sec
        self._session_turns = SessionTurns()
        self._running: set[asyncio.Task[Any]] = set()

    async def write(
        self,
        operation: Operation[T],
        *,
        session_id: str | None = None,
        among: AbstractAsyncContextManager[object] | None = None,
    ) -> T:
        """Run `operation` and commit, or roll back what it wrote.

        Args:
            session_id: the session whose row the operation locks, where it is just one.
            among: a bound on such operations, entered when it is the session's turn.

        Raises:
            DeadlineExceededError: no answer in time; whether it committed is unknown.
            DatabaseError: the database failed it.
        """
        return await self.run(operation, self._connections.writing, session_id, among)

    async def read(self, operation: Operation[T]) -> T:
        """Run `operation`, which only reads; it waits for no writer. Raises as `write`."""
        return await self.run(operation, self._connections.reading)

    async def single(self, operation: Operation[T]) -> T:
        """Run an `operation` of one statement. Raises as `write`."""
        return await self.run(operation, self._connections.single)

    async def close(self) -> None:
        """Wait until the transactions of callers that went away have ended."""
        while self._running:
            await asyncio.wait(self._running)
        await self._connections.close()

    async def run(
        self,
        operation: Callable[[C], Awaitable[T]],
        connecting: Callable[[], AbstractAsyncContextManager[C]],
        session_id: str | None = None,
        among: AbstractAsyncContextManager[object] | None = None,
    ) -> T:
        """Run `operation` on what `connecting` gives; otherwise as `write`, which see."""
        task = asyncio.create_task(
            self._attempt(operation, connecting, session_id, among or nullcontext())
        )
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
        raise DeadlineExceededError.of(self._deadline_sec)

    async def _attempt(
        self,
        operation: Callable[[C], Awaitable[T]],
        connecting: Callable[[], AbstractAsyncContextManager[C]],
        session_id: str | None,
        among: AbstractAsyncContextManager[object],
    ) -> T:
        turn = nullcontext() if session_id is None else self._session_turns.at(session_id)
        try:
            async with asyncio.timeout(self._deadline_sec), turn, among:
                with translated():
                    async with connecting() as conn:
                        return await operation(conn)
        except TimeoutError:
            raise DeadlineExceededError.of(self._deadline_sec) from None


def _report_orphan(task: asyncio.Task[Any]) -> None:
    """The caller is gone; what its transaction met is for the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logs.abandoned_operation_failed(error)
