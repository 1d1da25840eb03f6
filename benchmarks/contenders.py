"""The subject of a measurement and its peers, who do the same work in turns."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from benchmarks.load import Call, Length, Window, closed_loop
from benchmarks.samples import median

OURS: Final = "session_router"


class Contender(Protocol):
    """Does its work with so many callers at once, for one window."""

    @property
    def name(self) -> str: ...

    async def window(self, callers: int, length: Length) -> Window: ...


@dataclass(frozen=True)
class Here:
    """A contender in this process."""

    name: str
    call: Call

    async def window(self, callers: int, length: Length) -> Window:
        return await closed_loop(self.call, callers, length)


@dataclass(frozen=True)
class Turns:
    """How contenders take turns: A B C, A B C, and so on, with each number of callers."""

    callers: Sequence[int]
    rounds: int
    length: Length


@dataclass
class Contest:
    """The windows of all contenders, by name and number of callers, one a round."""

    windows: dict[str, dict[int, list[Window]]] = field(default_factory=dict)

    def rate(self, name: str, callers: int) -> float:
        return median([window.rate for window in self.windows[name][callers]])

    def median_latency(self, name: str, callers: int) -> float:
        return median([window.median for window in self.windows[name][callers]])

    def p99_latency(self, name: str, callers: int) -> float:
        return median([window.p99 for window in self.windows[name][callers]])

    def throughput_ratio(self, peer: str, callers: int) -> float | None:
        """Our throughput over the peer's, the median of the rounds; None: peer not measured."""
        return self._ratio(peer, callers, lambda window: window.rate)

    def latency_ratio(self, peer: str, callers: int) -> float | None:
        """Our median latency over the peer's, likewise."""
        return self._ratio(peer, callers, lambda window: window.median)

    def spread(self, callers: int) -> float:
        """Our own 99th percentile over our median."""
        return median([window.p99 / window.median for window in self.windows[OURS][callers]])

    def _ratio(self, peer: str, callers: int, of: Callable[[Window], float]) -> float | None:
        if peer not in self.windows:
            return None
        pairs = zip(self.windows[OURS][callers], self.windows[peer][callers], strict=True)
        return median([of(ours) / of(theirs) for ours, theirs in pairs])


def so_many_callers(number: int) -> str:
    return "1 caller" if number == 1 else f"{number} callers"


async def take_turns(
    contenders: Sequence[Contender], turns: Turns, before_round: Callable[[], Awaitable[None]]
) -> Contest:
    """Measure all contenders with each number of callers, round by round."""
    contest = Contest({c.name: {n: [] for n in turns.callers} for c in contenders})
    for callers in turns.callers:
        for _ in range(turns.rounds):
            await before_round()
            for contender in contenders:
                window = await contender.window(callers, turns.length)
                contest.windows[contender.name][callers].append(window)
    return contest
