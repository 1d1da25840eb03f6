"""What belongs to one process and one event loop, made anew in another.

Connections, tasks and locks can be used in neither a forked child nor a second event loop
(`asyncio.run` twice, a test with a loop of its own): a child that used its parent's connections
would write into the parent's conversation with the server.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from session_router.errors import EventLoopError

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One `T` for the process and the event loop that use it.

    Args:
        make: makes one; it may open nothing yet.
        abandon: lets go of one whose loop is over; it must neither wait nor talk to anybody.
            Returns what it has let go of.
        what: how errors call it.
    """

    def __init__(self, make: Callable[[], T], abandon: Callable[[T], object], what: str) -> None:
        self._make = make
        self._abandon = abandon
        self._what = what
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Never collected in a child: a driver that is collected takes its connection out of the
        # loop, whose epoll a child shares with its parent.
        self._of_parents: list[tuple[T, object]] = []
        self._made = make()

    def peek(self) -> T:
        """The present one, for what neither waits nor writes; it need not be this loop's."""
        if self._pid != os.getpid():
            self._begin_anew()
        return self._made

    def get(self) -> T:
        """The one of this process and of the running loop.

        Raises:
            EventLoopError: another loop, which runs at the moment, uses it.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._pid != os.getpid():
            self._move_to(loop)
        return self._made

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pid != os.getpid():
            self._begin_anew()
        elif self._loop is not None and self._loop is not loop:
            if self._loop.is_running():
                raise EventLoopError(
                    f"this {self._what} is in use in another event loop, which is running; make "
                    "one for each loop."
                )
            self._abandon(self._made)
            self._made = self._make()
        self._loop = loop

    def _begin_anew(self) -> None:
        """This process was forked off the one that has made it."""
        self._of_parents.append((self._made, self._abandon(self._made)))
        self._pid, self._loop, self._made = os.getpid(), None, self._make()
