"""The page of a run: `benchmarks.md`, with the charts beside it."""

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.report import Chart, Report

NAME: Final = "benchmarks.md"

_INTRODUCTION: Final = """\
# Benchmarks

Written by `make bench`. Every figure that has a goal was measured together with what it is
compared with, in turns, within one run, on a PostgreSQL of the run's own: fsync on, and no setting
changed but the number of connections. session_router runs as it comes, with its own connection
pool.
"""
_REHEARSAL: Final = """\
**This was a rehearsal (`--quick`): the windows are too short to judge by.**
"""


def file_of(chart: Chart) -> str:
    return f"benchmark-{chart.name}.svg"


def markdown(run: dict[str, Any], reports: dict[str, Report]) -> str:
    """The whole page: the machine, the verdict on each goal, then subject by subject."""
    parts = [_INTRODUCTION]
    if run["quick"]:
        parts.append(_REHEARSAL)
    parts += [_machine(run), _verdict(reports)]
    for name, report in reports.items():
        parts += _section(name, report)
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _machine(run: dict[str, Any]) -> str:
    def pairs(of: dict[str, str], sign: str) -> str:
        return ", ".join(f"{name}{sign}{value}" for name, value in of.items())

    return "\n".join(
        [
            "| | |",
            "| --- | --- |",
            f"| date | {run['at'][:10]} |",
            f"| processor | {run['processor']}, {run['cpus']} cores |",
            f"| memory | {run['memory_gb']} GB |",
            f"| kernel | {run['kernel']} |",
            f"| load before | {run['load']:.1f} |",
            f"| PostgreSQL | {run['postgresql']}, on the same machine |",
            f"| its settings | {pairs(run['settings'], ' = ')} |",
            f"| Python | {run['python']}, {pairs(run['packages'], ' ')} |",
        ]
    )


def _verdict(reports: dict[str, Report]) -> str:
    goals = [goal for report in reports.values() for goal in report.goals]
    counts = {verdict: [g.is_reached for g in goals].count(verdict) for verdict in (True, False)}
    text = f"{counts[True]} of {len(goals)} goals are reached"
    missed = [f"- NOT REACHED: {goal.what}" for goal in goals if goal.is_reached is False]
    unknown = [f"- not measured: {goal.what}" for goal in goals if goal.is_reached is None]
    return "\n".join([f"{text}{':' if missed or unknown else '.'}\n", *missed, *unknown])


def _section(name: str, report: Report) -> Iterator[str]:
    yield f"## {report.title}"
    yield f"`make bench BENCH_FLAGS={name}`, {report.minutes:.0f} min"
    yield "\n".join(f"- {note}" for note in report.notes)
    for chart in report.charts:
        yield f"![{chart.title}: {_described(chart)}]({file_of(chart)})"
    yield report.goal_table().markdown()
    for table in report.tables:
        yield table.markdown()


def _described(chart: Chart) -> str:
    return "; ".join(f"{panel.title} against {panel.x_label}" for panel in chart.panels)
