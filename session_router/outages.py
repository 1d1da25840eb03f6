"""Outages: each is told of when it begins, once a minute while it lasts, and when it is over.

All loops of a process that need the same database share one `Outage`, which alone tells of it, once
for all of them. Whoever finds the database back wakes the others, however long they meant to wait.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

from session_router import logs

_TOLD_EVERY_SEC: Final = 60.0


class Outage:
    """One database, or service, that is away at times; see `outage_of`.

    It lasts from the first loop that meets it until all that have met it are through: a database
    that can be read only lets some through and others not.

    Args:
        of: what is away then, as the log names it.
        clock: seconds that only go forward.
    """

    def __init__(self, of: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._of = of
        self._clock = clock
        self._waiting: dict[asyncio.Task[object], asyncio.Event] = {}
        self._failures = 0
        self._began_at = self._told_at = 0.0

    def met(self, error: Exception, wake: asyncio.Event) -> None:
        """The running task could not do its work.

        Args:
            error: by what.
            wake: ends its pause before the next try.
        """
        now, task = self._clock(), _running()
        if not self._waiting:
            self._failures, self._began_at, self._told_at = 0, now, now
            logs.outage_began(self._of, task.get_name(), error)
        self._waiting[task] = wake
        self._failures += 1
        if now - self._told_at >= _TOLD_EVERY_SEC:
            self._told_at = now
            logs.outage_lasts(self._of, now - self._began_at, self._failures, error)

    def passed(self) -> None:
        """The running task did its work: if it was waiting, so may the others do theirs now."""
        if self._waiting.pop(_running(), None) is None:
            return
        for task, wake in list(self._waiting.items()):
            loop = task.get_loop()
            if loop.is_closed():
                self._waiting.pop(task, None)
            else:
                loop.call_soon_threadsafe(wake.set)
        if not self._waiting:
            logs.outage_ended(self._of, self._clock() - self._began_at, self._failures)

    def left(self) -> None:
        """The running task is over, whatever became of its work."""
        self._waiting.pop(_running(), None)
        if not self._waiting:
            logs.outage_left(self._of)


def outage_of(what: str) -> Outage:
    """The one of this process for all that need the same.

    Args:
        what: a database or service as the log names it, without secrets.
    """
    mine = (os.getpid(), what)  # a forked child has loops of its own
    if (outage := _all.get(mine)) is None:
        outage = _all[mine] = Outage(what)
    return outage


def _running() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


_all: Final[WeakValueDictionary[tuple[int, str], Outage]] = WeakValueDictionary()
