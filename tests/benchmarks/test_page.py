"""The page of a run and its charts."""

from pathlib import Path

from benchmarks import page, plots
from benchmarks.contenders import OURS
from benchmarks.report import Chart, Curve, Goal, Panel, Report, Table

_PLACE = {
    "at": "2026-01-02T03:04:05+00:00",
    "quick": False,
    "processor": "abacus",
    "cpus": 2,
    "memory_gb": 8,
    "kernel": "Linux 6",
    "load": 0.1,
    "postgresql": "18.6",
    "settings": {"fsync": "on"},
    "python": "3.13",
    "packages": {"asyncpg": "0.31"},
}
_CHART = Chart(
    "touch",
    "touch",
    [
        Panel("throughput", "callers", "calls/s", [Curve(OURS, [(1, 9.0), (64, 400.0)])]),
        Panel("time", "rows", "s", [Curve("peer", [(1, 3.0), (64, 3.1)])], is_flat_expected=True),
    ],
)


def test_a_goal_that_could_not_be_measured_is_neither_reached_nor_missed() -> None:
    unknown = Goal("ours / a peer that is not here", None, 3, is_upper=False)
    assert unknown.is_reached is None
    assert unknown.row()[-1] == "not measured"


def test_the_page_names_the_goals_that_are_not_reached() -> None:
    goals = [
        Goal("swift", 4.0, 3, is_upper=False),
        Goal("small", 70.0, 64),
        Goal("as an absent peer", None, 1),
    ]
    report = Report("Touches", [Table(["a", "b"], [["x", "1"]])], goals, charts=[_CHART])
    text = page.markdown(_PLACE, {"touches": report})
    assert "1 of 3 goals are reached" in text
    assert "NOT REACHED: small" in text
    assert "not measured: as an absent peer" in text
    assert "| x | 1 |" in text
    assert f"({page.file_of(_CHART)})" in text


def test_the_same_figures_make_the_same_file(tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    plots.draw(_CHART, first)
    plots.draw(_CHART, second)
    assert first.read_bytes() == second.read_bytes()
    assert "throughput" in first.read_text()
