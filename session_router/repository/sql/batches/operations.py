"""What agents, and those who stop them, do all the time, through group commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.transactions import Transactions
from session_router.repository.changes import (
    Finish,
    Register,
    Start,
    Stop,
    StopStream,
    Sweep,
    Touch,
)
from session_router.repository.measures import Load
from session_router.repository.results import (
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
)
from session_router.repository.sql import endings, interrupts, sessions, streams
from session_router.repository.sql.batches.group_commit import GroupCommit, Retry
from session_router.session import Session

Result = TypeVar("Result")


class Change(Protocol):
    """What every change has."""

    @property
    def session_id(self) -> str: ...


Asked = TypeVar("Asked", bound=Change)


class Batches(Protocol):
    """The operations on one kind of database, for many at once; see `GroupCommit`."""

    async def touch(self, asked: Sequence[Touch]) -> Sequence[Session | Retry | None]: ...

    async def start(self, asked: Sequence[Start]) -> Sequence[Session | Retry]: ...

    async def register(self, asked: Sequence[Register]) -> Sequence[Registration | Retry]: ...

    async def finish(self, asked: Sequence[Finish]) -> Sequence[UUID | Retry | None]: ...

    async def interrupt(self, asked: Sequence[Stop]) -> Sequence[StopRequest | Retry | None]: ...

    async def interrupt_stream(
        self, asked: Sequence[StopStream]
    ) -> Sequence[StreamInterrupt | Retry]: ...

    async def end(self, asked: Sequence[Stop]) -> Sequence[StopRequest | Retry | None]: ...

    async def replace(
        self, asked: Sequence[Start]
    ) -> Sequence[tuple[Session, StopRequest] | Retry]: ...

    async def expire(self, asked: Sweep) -> SweepBatch: ...


class BatchedOperations:
    """One group commit for each operation; the sweep comes in batches as it is.

    A request that its batch could not carry out is retried in its own transaction: it waits for
    the session's row, as long as its deadline. So a row that somebody holds delays those who want
    it, and nobody else.

    Args:
        batches: the operations on the database in use.
        transactions: for what goes alone.
        deadline_sec: how long a caller waits, in seconds.
        lanes: how many batches of each may be under way at once.
    """

    def __init__(
        self,
        batches: Batches,
        transactions: Transactions,
        t: Tables,
        deadline_sec: float,
        *,
        lanes: int,
    ) -> None:
        self._transactions = transactions
        self._t = t
        self._deadline_sec = deadline_sec
        self._lanes = lanes
        self.touch: GroupCommit[Touch, Session | None] = self._grouped(
            batches.touch, sessions.touch_and_read
        )
        self.start: GroupCommit[Start, Session] = self._grouped(
            batches.start, sessions.start_and_read
        )
        self.register: GroupCommit[Register, Registration] = self._grouped(
            batches.register, streams.register
        )
        self.finish: GroupCommit[Finish, UUID | None] = self._grouped(
            batches.finish, streams.finish
        )
        self.interrupt: GroupCommit[Stop, StopRequest | None] = self._grouped(
            batches.interrupt, interrupts.interrupt
        )
        self.interrupt_stream: GroupCommit[StopStream, StreamInterrupt] = self._grouped(
            batches.interrupt_stream, interrupts.interrupt_stream
        )
        self.end: GroupCommit[Stop, StopRequest | None] = self._grouped(batches.end, endings.end)
        self.replace: GroupCommit[Start, tuple[Session, StopRequest]] = self._grouped(
            batches.replace, endings.replace
        )
        self._batches = batches
        self.expire = batches.expire

    async def interrupt_matching(self, stops: Sequence[Stop]) -> list[StopRequest]:
        """Interrupt in many sessions; those that somebody else holds are waited for, one by one."""
        found = await self._batches.interrupt(stops)
        held = [stop for stop, did in zip(stops, found, strict=True) if isinstance(did, Retry)]
        requests = [did for did in found if isinstance(did, StopRequest)]
        for stop in held:
            waited = await self.interrupt.submit(stop)
            requests += [waited] if waited is not None else []
        return requests

    def load(self) -> Load:
        """What waits, and what was carried out, of all operations together."""
        return sum((group.load() for group in self._groups()), Load())

    async def close(self) -> None:
        """Wait until all that was asked for has been carried out, or has failed."""
        await asyncio.gather(*(group.close() for group in self._groups()))

    def _groups(self) -> "list[GroupCommit[Any, Any]]":
        return [group for group in vars(self).values() if isinstance(group, GroupCommit)]

    def _grouped(
        self,
        commit: Callable[[Sequence[Asked]], Awaitable[Sequence[Result | Retry]]],
        carry_out: Callable[[AsyncConnection, Tables, Asked], Awaitable[Result]],
    ) -> GroupCommit[Asked, Result]:
        async def alone(asked: Asked, deadline: float) -> Result:
            return await self._transactions.write(
                lambda conn: carry_out(conn, self._t, asked),
                session_id=asked.session_id,
                deadline=deadline,
            )

        return GroupCommit(
            commit, alone, lambda asked: asked.session_id, self._deadline_sec, lanes=self._lanes
        )
