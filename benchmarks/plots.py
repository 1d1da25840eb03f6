"""Draws charts as SVG that looks the same, and is the same text, for the same figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.contenders import OURS
from benchmarks.report import Chart, Curve, Panel

_PANEL_INCHES: Final = (4.6, 3.6)
# Ours stands out; the peers' colours can be told apart by those who see few, and in print.
_OUR_COLOUR: Final = "#0b5fa5"
_PEER_COLOURS: Final = ("#c8553d", "#e0a458", "#3a7d44", "#8a5fb0", "#7d858d")
_INK: Final = "#24292f"
_FAINT: Final = "#d8dee4"
_STYLE: Final[Any] = {
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: small, sharp, and readable in a diff
    "svg.hashsalt": "session_router",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def draw(chart: Chart, file: Path) -> None:
    """Draw a chart's panels side by side."""
    with mpl.rc_context(_STYLE):
        width, height = _PANEL_INCHES
        figure = Figure((width * len(chart.panels), height), layout="constrained")
        axes = figure.subplots(1, len(chart.panels), squeeze=False)[0]
        for panel, its_axes in zip(chart.panels, axes, strict=True):
            _draw_panel(panel, its_axes)
        _legend(figure, axes[0])
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, metadata=metadata, dpi=100)


def _draw_panel(panel: Panel, axes: Axes) -> None:
    peers = iter(_PEER_COLOURS)
    for curve in panel.curves:
        is_ours = curve.name == OURS
        axes.plot(
            *zip(*curve.points, strict=True),
            label=curve.name,
            color=_OUR_COLOUR if is_ours else next(peers),
            linewidth=2.4 if is_ours else 1.4,
            marker="o",
            markersize=5 if is_ours else 4,
            zorder=3 if is_ours else 2,
        )
    axes.set_title(panel.title, loc="left", fontsize=11)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    _scale_across(axes, panel.curves)
    if panel.is_flat_expected:
        _scale_up_evenly(axes, panel.curves)
    else:
        _scale_up(axes, panel.curves)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.grid(visible=True, color=_FAINT, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _scale_across(axes: Axes, curves: Sequence[Curve]) -> None:
    """The places that were measured, each marked."""
    axes.set_xscale("log")
    axes.set_xticks(sorted({x for curve in curves for x, _ in curve.points}))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08)


def _scale_up(axes: Axes, curves: Sequence[Curve]) -> None:
    values = [y for curve in curves for _, y in curve.points]
    axes.set_yscale("log")
    axes.set_ylim(min(values) / 1.6, max(values) * 1.6)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())


def _scale_up_evenly(axes: Axes, curves: Sequence[Curve]) -> None:
    points = [point for curve in curves for point in curve.points]
    axes.set_ylim(0, max(y for _, y in points) * 1.3)
    for x, y in points:
        axes.annotate(f"{y:.3g}", (x, y), textcoords="offset points", xytext=(0, 8), ha="center")


def _legend(figure: Figure, axes: Axes) -> None:
    """One for all panels, above them; a single curve is named by its axes."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        columns = min(len(labels), 2 * len(figure.axes))
        rows = -(-len(labels) // columns)
        columns = -(-len(labels) // rows)  # as many in each row
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
