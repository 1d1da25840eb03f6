"""From series to what the page's script draws, with a sentence of each for who does not see it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from session_router.console.series import Series
from session_router.console.words import event, length


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        said: what it shows, in a sentence.
        data: as JSON, for the script: `times` in seconds since 1970, `lines` with their `label`
            and `values` and `unit`.
    """

    title: str
    said: str
    data: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often streams ended so.

    Attributes:
        share: in percent.
    """

    name: str
    streams: int
    share: float


def charts_of(series: Series) -> dict[str, Any]:
    """What the template of the charts shows."""
    charts = [] if series.at_once is None else [_at_once(series)]
    return {
        "charts": [*charts, _activity(series), _stops(series)],
        "outcomes": _outcomes(series),
        "since": series.hours[0],
    }


def _at_once(series: Series) -> Chart:
    assert series.at_once is not None
    times = [bucket.begins_at for bucket in series.at_once]
    last = timedelta(seconds=series.at_once[-1].seconds)
    peaks = [bucket.peak for bucket in series.at_once]
    lines = {"peak": peaks, "mean": [round(bucket.mean, 2) for bucket in series.at_once]}
    said = f"At most {max(peaks):,} in the last day, {peaks[-1]:,} in the last minutes."
    return Chart("Streams at once", said, _data([*times, times[-1] + last], _again(lines), ""))


def _activity(series: Series) -> Chart:
    names = {
        "started": "stream_started",
        "ended": "stream_finished",
        "sessions expired": "session_expired",
    }
    lines = {label: series.counts[name] for label, name in names.items()}
    said = "In all " + ", ".join(f"{sum(n):,} {label}" for label, n in lines.items())
    return Chart("Starts, ends and expiries an hour", f"{said}.", _hourly(series, lines, ""))


def _stops(series: Series) -> Chart:
    slowest = max((p99 for p99 in series.p99_sec if p99 is not None), default=None)
    said = "Nothing was stopped in the last day."
    if slowest is not None:
        said = f"In the slowest hour 99 of 100 stops took no longer than {length(slowest)}."
    lines = {"99 %": series.p99_sec, "median": series.median_sec}
    return Chart("Time to stop", said, _hourly(series, lines, "s"))


def _outcomes(series: Series) -> list[Outcome]:
    whole = sum(series.outcomes.values())
    found = sorted(series.outcomes.items(), key=lambda each: -each[1])
    return [Outcome(event(name), n, round(100 * n / whole, 1)) for name, n in found]


def _hourly(series: Series, lines: dict[str, Any], unit: str) -> str:
    return _data([*series.hours, series.hours[-1] + timedelta(hours=1)], _again(lines), unit)


def _again(lines: dict[str, Any]) -> dict[str, Any]:
    """Each line goes on from its last step's beginning to its end."""
    return {label: [*values, values[-1]] for label, values in lines.items()}


def _data(times: Sequence[datetime], lines: dict[str, Sequence[Any]], unit: str) -> str:
    told = [{"label": label, "values": values} for label, values in lines.items()]
    return json.dumps({"times": [t.timestamp() for t in times], "lines": told, "unit": unit})
