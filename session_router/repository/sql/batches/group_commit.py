"""Group commit: what callers ask for while a transaction is under way shares the next one.

While one batch is on its way to the database, callers queue; the next batch takes all that wait.
There is no timer: whoever comes alone is a batch of one, at once. Each caller waits for the commit
of its own batch, and gets its own result or error.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from copy import copy
from enum import Enum
from functools import partial
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from session_router.errors import (
    DeadlineExceededError,
    OverloadedError,
    RefusedError,
    RequestReusedError,
    RequestUnderWayError,
    SessionBusyError,
    SessionOwnedError,
    SessionRouterError,
    StreamExistsError,
    WorkerGoneError,
)
from session_router.repository.measures import Load
from session_router.repository.sql.batches.deadlines import Deadlines

Item = TypeVar("Item")
Result = TypeVar("Result")

_LANES: Final = 2
_BATCH_LIMIT: Final = 500
_QUEUE_LIMIT: Final = 10_000
_FEW: Final = 32
"""So many share one batch, whatever their lanes."""
_FEW_BESIDE: Final = 16
"""So many wait for the end of a batch that is under way in another lane."""


class Retry(Enum):
    """The result of an item that its batch could not carry out; nothing was written for it."""

    IN_OWN_TRANSACTION = "in its own transaction"


class GroupCommit(Generic[Item, Result]):
    """Commits what callers submit, in batches.

    Items with the same key take the same lane, so no two batches of this object are ever after
    the same rows at once. Where many wait, each lane has a batch of its own, and the database is
    busy while results are handed out. Where few wait, there is one batch of all lanes at a time:
    a batch of two costs the server hardly more than a batch of one.

    Args:
        commit: carries out a batch in one transaction. Returns a result for each item, in their
            order; `Retry.IN_OWN_TRANSACTION` for one that it left out, since somebody holds its
            rows or it is no common case. An error means that nothing of the batch was written,
            unless it says that the outcome is unknown.
        alone: carries out one item that its batch could not, by a time of the event loop's
            clock; until then it may wait for others.
        key: what an item is about.
        deadline_sec: how long a caller waits, in seconds.
        lanes: how many batches may be under way at once.
        batch_limit: how many items one batch takes at the most.
        queue_limit: how many items may wait before a caller is turned away.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Retry]]],
        alone: Callable[[Item, float], Awaitable[Result]],
        key: Callable[[Item], Hashable],
        deadline_sec: float,
        *,
        lanes: int = _LANES,
        batch_limit: int = _BATCH_LIMIT,
        queue_limit: int = _QUEUE_LIMIT,
    ) -> None:
        self._commit = commit
        self._alone = alone
        self._key = key
        self._deadline_sec = deadline_sec
        self._deadlines = Deadlines(deadline_sec)
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._lanes: list[deque[_Entry[Item, Result]]] = [deque() for _ in range(lanes)]
        self._busy: set[int] = set()
        self._is_woken = False
        self._sizes: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Have an item carried out, and wait until it is committed.

        A caller that is cancelled goes at once: its item is left out where its batch has not
        begun, and otherwise carried out with the others.

        Raises:
            OverloadedError: too many wait already; nothing was written.
            DeadlineExceededError: no answer in time; whether it happened is unknown, unless the
                error says that nothing was written.
            DatabaseError: the database failed it.
        """
        number = hash(self._key(item)) % len(self._lanes)
        lane = self._lanes[number]
        if len(lane) * len(self._lanes) >= self._queue_limit:
            raise OverloadedError(
                f"{len(lane):,} operations wait for the database already, so this one was not "
                "begun and nothing was written; try again later, or spread the load over more "
                "workers."
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        deadline = loop.time() + self._deadline_sec
        entry = (item, future, deadline)
        lane.append(entry)
        self._wake()
        self._deadlines.watch(future, deadline)
        try:
            return await future
        except DeadlineExceededError:
            # Those in a lane have come one after the other.
            if lane and (lane[0] is entry or lane[0][2] < deadline):
                raise DeadlineExceededError.nothing_done(self._deadline_sec) from None
            raise
        finally:
            self._deadlines.forget(future)

    def load(self) -> Load:
        """How many wait, and how many batches there were of each size; from any thread."""
        return Load(sum(map(len, self._lanes)), self._sizes.copy())

    async def close(self) -> None:
        """Wait until all that was submitted has been carried out, or has failed."""
        while self._tasks or self._is_woken:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))

    def _wake(self) -> None:
        """Have a look at who waits, after all who are about to come have come."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Begin the batches that are worth it; who waits on is looked at when one has ended."""
        self._is_woken = False
        waiting = sum(map(len, self._lanes))
        idle = [n for n, lane in enumerate(self._lanes) if lane and n not in self._busy]
        if not self._busy and waiting <= _FEW:
            self._begin_batch(idle)
        elif not self._busy or waiting > _FEW_BESIDE:
            for number in idle:
                self._begin_batch([number])

    def _begin_batch(self, lanes: list[int]) -> None:
        if batch := self._take(lanes):
            self._busy.update(lanes)
            task = self._spawn(self._drain(lanes, batch))
            task.add_done_callback(partial(self._end, lanes, batch))

    async def _drain(self, lanes: list[int], batch: "list[_Entry[Item, Result]]") -> None:
        """Commit a batch, and the next one of its lane while many wait.

        That is on its way to the database before those who wait for this one are told.
        """
        while batch:
            await self._carry_out(batch)
            batch.clear()
            if sum(map(len, self._lanes)) > _FEW_BESIDE:
                self._busy.difference_update(lanes[1:])
                del lanes[1:]
                batch += self._take(lanes)
                self._wake()

    def _end(
        self, lanes: list[int], batch: "list[_Entry[Item, Result]]", ended: "asyncio.Task[None]"
    ) -> None:
        """Nobody waits in these lanes any more, or few do, who share the next batch."""
        self._busy.difference_update(lanes)
        if ended.cancelled() or ended.exception():
            # The event loop ends, and with it the hope of an answer.
            for _, future, _ in (*batch, *chain(*self._lanes)):
                future.cancel()
        elif any(self._lanes):
            self._wake()

    def _take(self, lanes: Sequence[int]) -> "list[_Entry[Item, Result]]":
        """The next batch: what has waited longest, without those whose callers went away."""
        batch: list[_Entry[Item, Result]] = []
        for lane in (self._lanes[number] for number in lanes):
            while lane and len(batch) < self._batch_limit:
                entry = lane.popleft()
                if not entry[1].done():
                    batch.append(entry)
        return batch

    async def _carry_out(self, batch: "list[_Entry[Item, Result]]") -> None:
        self._sizes[len(batch)] += 1
        try:
            results = await self._commit([item for item, _, _ in batch])
        except Exception as error:  # whatever a batch meets, its callers are told
            self._fail(batch, error)
            return
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, Retry):
                self._send_alone(entry)
            elif not entry[1].done():
                entry[1].set_result(result)

    def _fail(self, batch: "list[_Entry[Item, Result]]", error: Exception) -> None:
        """One item that the database refuses must not fail those beside it: each goes alone.

        So does the item of a batch of one: a batch does not wait for what an item alone waits for.
        """
        for entry in batch:
            if isinstance(error, _ABOUT_ONE_ITEM):
                self._send_alone(entry)
            elif not entry[1].done():
                entry[1].set_exception(_own(error))

    def _send_alone(self, entry: "_Entry[Item, Result]") -> None:
        _, future, _ = entry
        task = self._spawn(self._carry_out_alone(*entry))
        # Cancelled before its first step it could not do that itself.
        task.add_done_callback(lambda _: future.done() or future.cancel())
        # A caller that went away, or was told that it took too long, waits for nothing more.
        future.add_done_callback(lambda _: task.cancel())

    async def _carry_out_alone(
        self, item: Item, future: "asyncio.Future[Result]", deadline: float
    ) -> None:
        if future.done():
            return
        try:
            result = await self._alone(item, deadline)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


_Entry = tuple[Item, "asyncio.Future[Result]", float]


_ABOUT_ONE_ITEM: Final = (
    RefusedError,
    WorkerGoneError,
    SessionBusyError,
    SessionOwnedError,
    StreamExistsError,
    RequestReusedError,
    RequestUnderWayError,
)
"""What may be one item's fault, and leaves nothing written."""


def _own(error: Exception) -> Exception:
    """An error for one caller: each adds to the traceback and the context of what it raises."""
    if not isinstance(error, SessionRouterError):
        return error
    own = copy(error)
    own.__cause__ = error
    return own
