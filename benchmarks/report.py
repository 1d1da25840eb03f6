"""What a benchmark found: tables, goals, charts, and the samples behind them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.samples import percentile

_SHARES = (0.5, 0.9, 0.99)
_VERDICTS = {True: "reached", False: "NOT REACHED", None: "not measured"}


@dataclass(frozen=True)
class Goal:
    """A measured figure beside the bound that it is to keep.

    Attributes:
        measured: None when it could not be measured here, which the notes explain.
    """

    what: str
    measured: float | None
    bound: float
    is_upper: bool = True

    @property
    def is_reached(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.is_upper else self.measured >= self.bound

    def row(self) -> list[str]:
        sign = "<=" if self.is_upper else ">="
        measured = "" if self.measured is None else _figure(self.measured)
        return [self.what, measured, f"{sign} {self.bound:,g}", _VERDICTS[self.is_reached]]


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column is aligned to the left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join(_aligned(line, widths) for line in lines)

    def markdown(self) -> str:
        rule = ["---", *("---:" for _ in self.header[1:])]
        return "\n".join(f"| {' | '.join(line)} |" for line in [self.header, rule, *self.rows])


@dataclass(frozen=True)
class Curve:
    """Points of one contender, or of one thing that was measured."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes, logarithmic both.

    Attributes:
        is_flat_expected: the vertical axis begins at zero instead and is even, so that growth
            can be told from the lack of it; the figures stand beside the points.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    is_flat_expected: bool = False


@dataclass(frozen=True)
class Chart:
    """Panels side by side, in a file of this name."""

    name: str
    title: str
    panels: Sequence[Panel]


@dataclass
class Report:
    """The findings on one subject."""

    title: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    minutes: float = 0.0

    def goal_table(self) -> Table:
        return Table(["goal", "measured", "bound", ""], [goal.row() for goal in self.goals])

    def text(self) -> str:
        tables = [table.text() for table in (*self.tables, self.goal_table())]
        return "\n\n".join([f"== {self.title}", *tables, "\n".join(self.notes)]) + "\n"

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
            "minutes": self.minutes,
            "notes": self.notes,
            "tables": [asdict(table) for table in self.tables],
            "charts": [asdict(chart) for chart in self.charts],
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


def _figure(value: float) -> str:
    is_whole = isinstance(value, int) or abs(value) >= 1_000
    return f"{value:,.0f}" if is_whole else f"{value:.2f}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
