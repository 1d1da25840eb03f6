"""What is counted, as values: of one process, and of the whole database."""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from session_router.repository.measures import Load, Stock, Tally

TYPES_NAMED: Final = 20
"""So many types of agents are told apart. They are callers' text, and may end in ten ways each."""
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Database:
    """What is known of the whole database.

    Attributes:
        stock: how it is now.
        seen_at: when that was, by this machine's monotonic clock, in seconds.
        totals: what has happened since the first look.
        types: the types of agents that are told apart: the first that were seen.
    """

    stock: Stock
    seen_at: float
    totals: Tally
    types: frozenset[str] = frozenset()

    @classmethod
    def first(cls, stock: Stock, seen_at: float, tally: Tally) -> Self:
        """What is known after the first look."""
        return cls(stock, seen_at, Tally(tally.until)).after(stock, seen_at, tally)

    def after(self, stock: Stock, seen_at: float, tally: Tally) -> Self:
        """What is known after another look; this one stays as it is, for those who read it."""
        most_first = sorted(stock.streams, key=lambda name: -stock.streams[name])
        types = _grown(self.types, (*most_first, *(name for name, _ in tally.streams)))
        streams: dict[str, int] = {}
        for name, number in stock.streams.items():
            known = _known(types, name)
            streams[known] = streams.get(known, 0) + number
        totals = _sum(types, self.totals, tally)
        return replace(
            self, stock=replace(stock, streams=streams), seen_at=seen_at, totals=totals, types=types
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """What one process counts.

    Attributes:
        load: of its own group commit.
        database: of the whole database; None where another process looks, or nobody can.
    """

    load: Load
    database: Database | None

    def packed(self) -> bytes:
        """All of it, for processes of the same program."""
        return pickle.dumps(self)

    @classmethod
    def unpacked(cls, content: bytes) -> Self:
        """What `packed` has made."""
        counts = pickle.loads(content)  # noqa: S301 - of memory that only this program writes
        assert isinstance(counts, cls)
        return counts

    @classmethod
    def together(cls, all_counts: Iterable[Self]) -> Self:
        """Those of several processes, of which one looks at the database."""
        load, database = Load(), None
        for counts in all_counts:
            load += counts.load
            database = database or counts.database
        return cls(load, database)


def _grown(types: frozenset[str], seen: Iterable[str]) -> frozenset[str]:
    """The types that are told apart, with those that there is room for."""
    grown = set(types)
    for name in seen:
        if len(grown) < TYPES_NAMED:
            grown.add(name)
    return frozenset(grown)


def _known(types: frozenset[str], name: str) -> str:
    return name if name in types else OTHER


def _sum(types: frozenset[str], *tallies: Tally) -> Tally:
    total = Tally(tallies[-1].until)
    for tally in tallies:
        total.interrupts += tally.interrupts
        for (name, stream_outcome), durations in tally.streams.items():
            total.stream(_known(types, name), stream_outcome).add(durations)
        for signal_outcome, durations in tally.signals.items():
            total.signal(signal_outcome).add(durations)
    return total
