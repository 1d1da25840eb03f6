"""The deadlines of many that wait equally long, on one timer of the event loop."""

import asyncio
from typing import Any, Final

from session_router.errors import DeadlineExceededError

_GRACE_SEC: Final = 0.125
"""Who carries an item out has the same deadline, and can say whether anything was written."""


class Deadlines:
    """Fails what is not done in time.

    A timer for each would cost two thirds of what a caller costs group commit. All have equally
    long, so who began first is late first, and one timer looks after that one.

    Args:
        seconds: how long each may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: "asyncio.Future[Any]", deadline: float) -> None:
        """Fail a future that is not done by its deadline, which is no earlier than those before."""
        self._watched[future] = deadline
        if self._timer is None:
            self._look_at(deadline)

    def forget(self, future: "asyncio.Future[Any]") -> None:
        """Whoever waits for a future has its answer, or waits no longer."""
        del self._watched[future]

    def _look_at(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(deadline + _GRACE_SEC, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for future, deadline in self._watched.items():
            if deadline + _GRACE_SEC > loop.time():
                self._look_at(deadline)
                break
            # A loop that stood still for a while has the better answer ready, but not yet given.
            loop.call_later(_GRACE_SEC, self._give_up, future)

    def _give_up(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_exception(DeadlineExceededError.of(self._seconds))
