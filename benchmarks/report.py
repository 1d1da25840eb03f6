"""What a benchmark found: tables, goals, and the raw samples for whoever wants to plot them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.samples import percentile

_SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Goal:
    """A measured figure beside the bound that it is to keep."""

    what: str
    measured: float
    bound: float
    is_upper: bool = True

    @property
    def is_reached(self) -> bool:
        return self.measured <= self.bound if self.is_upper else self.measured >= self.bound

    def row(self) -> list[str]:
        sign = "<=" if self.is_upper else ">="
        reached = "reached" if self.is_reached else "NOT REACHED"
        return [self.what, f"{self.measured:.2f}", f"{sign} {self.bound:g}", reached]


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column is aligned to the left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join(_aligned(line, widths) for line in lines)


@dataclass
class Report:
    """The findings on one subject."""

    title: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)

    def text(self) -> str:
        goals = Table(["goal", "measured", "bound", ""], [goal.row() for goal in self.goals])
        parts = [f"== {self.title}", *(table.text() for table in self.tables), goals.text()]
        return "\n\n".join([*parts, "\n".join(self.notes)]) + "\n"

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "goals": [
                {
                    "what": goal.what,
                    "measured": goal.measured,
                    "at_most" if goal.is_upper else "at_least": goal.bound,
                    "is_reached": goal.is_reached,
                }
                for goal in self.goals
            ],
            "notes": self.notes,
            "samples": self.samples,
        }


def distributions(samples: dict[str, list[float]]) -> Table:
    """Samples in seconds as a table in milliseconds."""
    header = ["ms", "samples", "least", *(f"p{share * 100:g}" for share in _SHARES), "most"]
    rows = []
    for name, values in samples.items():
        figures = [min(values), *(percentile(values, share) for share in _SHARES), max(values)]
        rows.append([name, f"{len(values):,}", *(f"{value * 1000:.2f}" for value in figures)])
    return Table(header, rows)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
