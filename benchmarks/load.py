"""Load: callers that call again and again, or calls on a schedule; and what was seen of it.

Only the standard library is imported here, since peers in environments of their own use it too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.samples import median, percentile

Call = Callable[[int], Awaitable[object]]
"""One unit of work; it is given the number of its caller."""


@dataclass(frozen=True)
class Window:
    """What was seen in one stretch of time.

    Attributes:
        rate: calls a second that were answered in it.
        median: the median latency of those that were under way in it, in seconds.
        p99: their 99th percentile.
    """

    rate: float
    median: float
    p99: float

    @classmethod
    def of(cls, calls: Iterable[tuple[float, float]], begin: float, end: float) -> "Window":
        """Of calls, each with the times at which it was made and answered."""
        answered, latencies = 0, []
        for made_at, answered_at in calls:
            answered += begin <= answered_at < end
            if made_at < end and answered_at >= begin:
                latencies.append(answered_at - made_at)
        assert answered, "nothing was answered in the window; it needs a longer one"
        return cls(answered / (end - begin), median(latencies), percentile(latencies, 0.99))


@dataclass(frozen=True)
class Length:
    """How long a window is, and for how long there is load before it begins, in seconds."""

    warm_up: float
    seconds: float


async def closed_loop(call: Call, callers: int, length: Length) -> Window:
    """So many callers, each of whom calls anew as soon as it has its answer."""
    begin = time.perf_counter() + length.warm_up
    end = begin + length.seconds
    calls: list[tuple[float, float]] = []

    async def caller(number: int) -> None:
        made_at = time.perf_counter()
        while made_at < end:
            await call(number)
            answered_at = time.perf_counter()
            calls.append((made_at, answered_at))
            made_at = answered_at

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))
    return Window.of(calls, begin, end)


@dataclass
class OpenLoop:
    """Calls on a schedule, whether those before are answered or not.

    Latencies count from the time that a call was scheduled for, so that a pause of the server, or
    of this process, is felt by all whose time fell into it.

    Attributes:
        rate: how many calls a second are scheduled.
        failures: what a call may raise; the time until then is its latency.
        latencies: of all calls, in seconds, in the order of their answers.
        answered_rate: how many calls a second were answered well, while there was load.
    """

    call: Call
    rate: float
    failures: type[Exception]
    latencies: list[float] = field(default_factory=list)
    answered_rate: float = 0.0
    _answered: int = 0

    async def run(self, until: asyncio.Event) -> None:
        """Call until the event is set, then wait for all answers."""
        began, scheduled = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while not until.is_set():
                due = int((time.perf_counter() - began) * self.rate)
                for number in range(scheduled, due):
                    group.create_task(self._one(began + number / self.rate))
                scheduled = due
                await asyncio.sleep(0.001)
            self.answered_rate = self._answered / (time.perf_counter() - began)

    async def _one(self, scheduled_at: float) -> None:
        try:
            await self.call(0)
            self._answered += 1
        except self.failures:
            pass
        self.latencies.append(time.perf_counter() - scheduled_at)
