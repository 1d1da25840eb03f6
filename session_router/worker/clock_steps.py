"""How far the database's clock has been set forward, as far as this worker can prove it."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

_BUCKETS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ClockSteps:
    """Compares the database's clock with this machine's monotonic one over a window of time.

    Each reading bounds how far the one is ahead of the other: the database told its time at some
    moment between the question and the answer. What the bounds do not explain is a step, so that
    a slow answer never counts as one. Of a step before its first reading it cannot know.

    Args:
        window_sec: for how long a step counts.
    """

    def __init__(self, window_sec: float) -> None:
        self._window_sec = window_sec
        # For each stretch of the window when it began, and the least that was ahead at the most.
        self._bounds: deque[tuple[float, float]] = deque()
        self._forward = 0.0

    @property
    def forward(self) -> timedelta:
        """The greatest step forward within the window; zero when there was none."""
        return timedelta(seconds=self._forward)

    def read(self, asked: float, told: datetime, answered: float) -> None:
        """Take a reading: the database's time, told between two moments of the monotonic clock."""
        time = (told - _EPOCH).total_seconds()
        at_most, at_least = time - asked, time - answered
        self._keep(asked, at_most)
        self._forward = max(0.0, at_least - min(bound for _, bound in self._bounds))

    def _keep(self, now: float, bound: float) -> None:
        stretch = self._window_sec / _BUCKETS
        # A stretch lasts until the next one begins: a step may fall between two readings.
        while len(self._bounds) > 1 and self._bounds[1][0] < now - self._window_sec:
            self._bounds.popleft()
        if self._bounds and now - self._bounds[-1][0] < stretch:
            began, least = self._bounds.pop()
            self._bounds.append((began, min(least, bound)))
        else:
            self._bounds.append((now, bound))
