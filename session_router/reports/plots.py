"""Pictures of those reports of which a picture tells more than a table; needs the extra `plot`."""

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import ceil, nan
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from session_router.errors import SessionRouterError
from session_router.reports.reading import Told
from session_router.reports.rows import (
    ActivityHour,
    AgentDay,
    ConcurrencyBucket,
    InterruptSignal,
)

Rows = AsyncIterator[Any]

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _BROWN, _GREY, _OLIVE = _COLORS = (
    "#2f6fb0",
    "#e08a1e",
    "#3c9a5f",
    "#c8443c",
    "#7d5bb5",
    "#8a6148",
    "#7a7a7a",
    "#a8a52a",
)
_MOST_AGENTS: Final = len(_COLORS)
_MANY_HOURS: Final = 14 * 24
_BINS_A_DECADE: Final = 10
_LENGTHS: Final = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3_600, 36_000, 86_400, 864_000)


class NothingToDrawError(SessionRouterError):
    """A picture was asked for, of no rows."""


async def draw(name: str, rows: Rows, path: Path, told: Told | None = None) -> None:
    """Draw the report `name`, one of `PICTURES`, into a PNG or SVG file, by its suffix.

    Args:
        told: of which time all is told; hours and days that are not whole are drawn dotted.

    Raises:
        NothingToDrawError: there are no rows.
        OSError: the file cannot be written.
    """
    first = await anext(rows, None)
    if first is None:
        raise NothingToDrawError(
            f"there is nothing to draw: the report {name!r} has no rows in that time."
        )
    figure = Figure(figsize=(8.3, 4.4), dpi=150, layout="constrained")
    await PICTURES[name](figure, _again(first, rows), told)
    figure.savefig(path)


async def _activity(figure: Figure, rows: Rows, told: Told | None) -> None:
    hours: list[ActivityHour] = [row async for row in rows]
    unit = "day" if len({hour.hour for hour in hours}) > _MANY_HOURS else "hour"
    sums: dict[datetime, Counter[str]] = defaultdict(Counter)
    for hour in hours:
        begin = hour.hour.replace(hour=0) if unit == "day" else hour.hour
        sums[begin].update(hour.model_dump(exclude={"hour", "owner"}))
    is_whole = [_is_whole(begin, timedelta(**{f"{unit}s": 1}), told) for begin in sums]
    above, below = figure.subplots(2, sharex=True)
    for axes, lines in (
        (above, {"streams_started": _BLUE, "interrupts": _RED}),
        (
            below,
            {
                "sessions_started": _BLUE,
                "sessions_ended": _GREEN,
                "sessions_expired": _ORANGE,
                "sessions_replaced": _PURPLE,
            },
        ),
    ):
        for name, color in lines.items():
            heights = [counts[name] for counts in sums.values()]
            _line(
                axes, _numbers(sums), heights, is_whole, color=color, lw=1.4,
                label=name.replace("_", " "),
            )  # fmt: skip
        _explain(axes, is_whole, unit)
        axes.set_ylabel(f"per {unit}")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        _finish(axes, columns=4)
    above.fill_between(
        _numbers(sums), [c["streams_started"] for c in sums.values()], color=_BLUE, alpha=0.12, lw=0
    )
    _time_axis(below, list(sums))
    figure.suptitle(f"Activity per {unit}", fontweight="bold")


async def _agents(figure: Figure, rows: Rows, told: Told | None) -> None:
    by_type: dict[str, list[AgentDay]] = defaultdict(list)
    async for row in rows:
        by_type[f"{row.agent_type} of {row.owner}" if row.owner else row.agent_type].append(row)
    busiest = sorted(by_type, key=lambda name: -sum(day.streams for day in by_type[name]))
    every_day: dict[datetime, bool] = {}
    axes = figure.subplots()
    for name, color in zip(busiest, _COLORS, strict=False):
        begins = [_midnight(row.day) for row in by_type[name]]
        days = _numbers(begins)
        whole = [_is_whole(begin, timedelta(days=1), told) for begin in begins]
        every_day |= dict(zip(begins, whole, strict=True))
        medians = [day.median_sec for day in by_type[name]]
        p95s = [day.p95_sec for day in by_type[name]]
        marker = "o" if len(days) < 3 else None
        _line(axes, days, medians, whole, color=color, lw=1.8, marker=marker, label=name)
        _line(axes, days, p95s, whole, color=color, lw=0.8, ls="--", marker=marker, ms=3)
        axes.fill_between(days, medians, p95s, color=color, alpha=0.08, lw=0)
    axes.set_yscale("log")
    _length_axis(axes.yaxis)
    axes.margins(y=0.15)
    axes.set_ylabel("length of a stream")
    _explain(axes, list(every_day.values()), "day")
    _time_axis(axes, list(every_day))
    _finish(axes, columns=_MOST_AGENTS)
    left_out = len(busiest) - _MOST_AGENTS
    note = f"; the {_MOST_AGENTS} busiest of {len(busiest)} types" if left_out > 0 else ""
    figure.suptitle("Length of streams by agent type and day", fontweight="bold")
    axes.set_title(f"line: median, dashed: 95th percentile{note}", fontsize=9, loc="left")


async def _interrupts(figure: Figure, rows: Rows, _: Told | None) -> None:
    latencies: dict[str, array[float]] = defaultdict(lambda: array("d"))
    unsettled = 0
    row: InterruptSignal
    async for row in rows:
        if row.latency_sec is None:
            unsettled += 1
        else:
            latencies[str(row.outcome)].append(max(row.latency_sec, 1e-4))
    every = sorted(value for values in latencies.values() for value in values)
    axes = figure.subplots()
    colors = {"delivered": _BLUE, "failed": _ORANGE, "lost": _RED}
    names = [name for name in colors if name in latencies]
    edges = _edges(every)
    below = [0] * (len(edges) - 1)
    for name in names:
        counts = Counter(bisect_right(edges, value) - 1 for value in latencies[name])
        heights = [counts[place] for place in range(len(below))]
        widths = [right - left for left, right in pairwise(edges)]
        label = f"{name} ({len(latencies[name]):,})"
        axes.bar(
            edges[:-1], heights, widths, below, align="edge", color=colors[name], label=label,
            edgecolor="white", lw=0.3,
        )  # fmt: skip
        below = [low + height for low, height in zip(below, heights, strict=True)]
    for share, text in ((0.5, "median"), (0.99, "99 %")) if every else ():
        value = every[ceil(share * len(every)) - 1]
        axes.axvline(value, color="#444444", lw=1, ls=":")
        axes.text(
            value, 1.01, f"{text}: {_length(value)}", transform=axes.get_xaxis_transform(),
            ha="center", fontsize=8, color="#444444",
        )  # fmt: skip
    axes.set_xscale("log")
    _length_axis(axes.xaxis)
    axes.set_xlabel("from the request until it was settled")
    axes.set_ylabel("signals")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    _finish(axes, columns=1)
    note = f" ({unsettled:,} not settled yet)" if unsettled else ""
    figure.suptitle(f"Latency of interrupts{note}", fontweight="bold")


async def _concurrency(figure: Figure, rows: Rows, _: Told | None) -> None:
    buckets: list[ConcurrencyBucket] = [row async for row in rows]
    edges = [bucket.begins_at for bucket in buckets]
    edges.append(edges[-1] + timedelta(seconds=buckets[-1].seconds))
    axes = figure.subplots()
    axes.stairs(
        [bucket.peak for bucket in buckets], _numbers(edges), color=_ORANGE, lw=1.2, label="peak"
    )
    axes.stairs(
        [bucket.mean for bucket in buckets], _numbers(edges), color=_BLUE, fill=True, alpha=0.45,
        label="mean",
    )  # fmt: skip
    axes.set_ylabel("streams at once")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    _time_axis(axes, edges)
    _finish(axes, columns=2)
    width = timedelta(seconds=max(bucket.seconds for bucket in buckets))
    figure.suptitle(
        f"Streams at once, in steps of {_length(width.total_seconds())}", fontweight="bold"
    )


PICTURES: Final[dict[str, Callable[[Figure, Rows, Told | None], Awaitable[None]]]] = {
    "activity": _activity,
    "agents": _agents,
    "concurrency": _concurrency,
    "interrupts": _interrupts,
}


async def _again(first: Any, others: Rows) -> Rows:
    yield first
    async for row in others:
        yield row


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _is_whole(begin: datetime, length: timedelta, told: Told | None) -> bool:
    return told is None or told.has_whole(begin, length)


def _line(
    axes: Axes, places: Sequence[float], heights: Sequence[float], is_whole: Sequence[bool],
    *, label: str | None = None, **style: Any,
) -> None:  # fmt: skip
    """A line that leads to what is not whole in dots, and lighter."""
    heights_of_whole = [h if whole else nan for h, whole in zip(heights, is_whole, strict=True)]
    axes.plot(places, heights_of_whole, label=label, **style)
    dotted = style | {"ls": ":", "alpha": 0.55}
    if not any(is_whole):
        axes.plot(places, heights, **dotted)
        return
    for place, both in enumerate(pairwise(is_whole)):
        if not all(both):
            axes.plot(places[place : place + 2], heights[place : place + 2], **dotted)


def _explain(axes: Axes, is_whole: Sequence[bool], unit: str) -> None:
    """What dots mean, where there are any."""
    if not all(is_whole):
        axes.plot([], [], color=_GREY, ls=":", lw=1.4, label=f"{unit} not whole")


def _numbers(times: Iterable[datetime]) -> list[float]:
    """Times as an axis counts them, in days since 1970."""
    return [time.timestamp() / 86_400 for time in times]


def _edges(values: Sequence[float]) -> list[float]:
    """Bins of equal width on a logarithmic scale, around all the (sorted) values."""
    if not values:
        return [0.001, 1.0]
    first, last = values[0] / 1.3, values[-1] * 1.3
    edges, step = [first], 10 ** (1 / _BINS_A_DECADE)
    while edges[-1] <= last:
        edges.append(edges[-1] * step)
    return edges


def _time_axis(axes: Axes, times: Sequence[datetime]) -> None:
    locator: Any = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    formatter: Any = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel("UTC")
    first, last = _numbers([min(times), max(times)])
    if first < last:
        axes.set_xlim(first, last)


def _finish(axes: Axes, *, columns: int) -> None:
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_yscale() == "linear":
        axes.set_ylim(0, max(axes.get_ylim()[1] * 1.2, 1))  # room for the legend
    axes.legend(
        loc="upper left" if columns > 1 else "upper right",
        ncols=columns,
        fontsize=8,
        edgecolor="none",
        framealpha=1,
    )


def _length_axis(axis: Axis) -> None:
    """Ticks of a logarithmic axis where people expect them."""
    axis.set_major_locator(FixedLocator(_LENGTHS))
    axis.set_major_formatter(FuncFormatter(_length))
    axis.set_minor_locator(NullLocator())


def _length(seconds: float, _: object = None) -> str:
    for unit, of in (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= of:
            return f"{seconds / of:.3g} {unit}"
    return f"{seconds * 1_000:.3g} ms"
