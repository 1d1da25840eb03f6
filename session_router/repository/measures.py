"""What can be measured of a repository: how it is now, and what has happened in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Self

from session_router.events import SignalOutcome, StreamOutcome

STREAM_SECONDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
"""The upper bounds by which the durations of streams are counted."""
SETTLE_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Those by which the times are counted that signals took to be settled."""
COUNTED_AT_MOST: Final = 100_000
"""So many rows of a table are counted one by one; from there on it is an estimate."""
EVENTS_AT_ONCE: Final = 20_000
"""So many events are tallied at a time; the server sorts them in memory, whatever it expects."""


@dataclass(frozen=True, slots=True)
class Stock:
    """How a database is now.

    Attributes:
        sessions: how many live.
        streams: how many live, by the type of their agents.
        signals: how many are not settled.
        oldest_signal: how long ago the oldest of these was given; zero where there is none.
        workers: how many have a lease.
        sweep_lag: for how long the session has been due to be swept that is due the longest.
    """

    sessions: int
    streams: dict[str, int]
    signals: int
    oldest_signal: timedelta
    workers: int
    sweep_lag: timedelta


@dataclass(slots=True)
class Durations:
    """How many things took how long.

    Attributes:
        numbers: how many took at most as long as each bound, and longer than the one before; at
            the end those that took longer than all.
        seconds: how long they took together.
    """

    numbers: list[int]
    seconds: float = 0.0

    @classmethod
    def none(cls, bounds: Sequence[float]) -> Self:
        return cls([0] * (len(bounds) + 1))

    def add(self, other: "Durations") -> None:
        self.numbers = [a + b for a, b in zip(self.numbers, other.numbers, strict=True)]
        self.seconds += other.seconds


@dataclass(slots=True)
class Tally:
    """What has happened by the trail, up to an event.

    Attributes:
        until: the last event that is tallied.
        is_whole: whether that was the last one that could be.
        interrupts: how often an interrupt was asked for.
        streams: how long streams took that ended, by the type of the agent and the outcome.
        signals: how long signals took that were settled, by the outcome.
    """

    until: int
    is_whole: bool = True
    interrupts: int = 0
    streams: dict[tuple[str, StreamOutcome], Durations] = field(default_factory=dict)
    signals: dict[SignalOutcome, Durations] = field(default_factory=dict)

    def stream(self, agent_type: str, outcome: StreamOutcome) -> Durations:
        """Those of one type's streams that ended so, to be added to."""
        return self.streams.setdefault((agent_type, outcome), Durations.none(STREAM_SECONDS))

    def signal(self, outcome: SignalOutcome) -> Durations:
        """Those of the signals that were settled so, to be added to."""
        return self.signals.setdefault(outcome, Durations.none(SETTLE_SECONDS))


@dataclass(frozen=True, slots=True)
class Load:
    """The group commit of one process.

    Attributes:
        waiting: how many operations wait for their batch to begin.
        batches: how many batches of each size were carried out.
    """

    waiting: int = 0
    batches: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: "Load") -> "Load":
        return Load(self.waiting + other.waiting, self.batches + other.batches)
