"""Runs benchmarks on a server of their own, prints what they found, and keeps it."""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks import (
    audit,
    churn,
    fleet,
    idle_workers,
    interrupts,
    items,
    memory,
    metrics,
    page,
    plots,
    remote_workers,
    reports,
    service,
    sqlite,
    statements,
    stops,
    sweep,
    throughput,
)
from benchmarks.bench import Bench
from benchmarks.machine import surroundings
from benchmarks.report import Report
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresServer

SUBJECTS: Final[dict[str, Callable[[Bench], Coroutine[Any, Any, Report]]]] = {
    "throughput": throughput.measure,
    "churn": churn.measure,
    "sweep": sweep.measure,
    "interrupts": interrupts.measure,
    "stops": stops.measure,
    "fleet": fleet.measure,
    "items": items.measure,
    "idle_workers": idle_workers.measure,
    "statements": statements.measure,
    "sqlite": sqlite.measure,
    "memory": memory.measure,
    "service": service.measure,
    "remote_workers": remote_workers.measure,
    "metrics": metrics.measure,
    "reports": reports.measure,
    "audit": audit.measure,
}
# What is measured under load is on uvloop, ours and its peers; the rest on asyncio's own loop.
_ON_UVLOOP: Final = (
    "throughput",
    "churn",
    "sweep",
    "stops",
    "items",
    "sqlite",
    "memory",
    "service",
)
RESULTS: Final = Path(__file__).parent / "results"
DOCS: Final = Path(__file__).parents[1] / "docs"
# A hundred workers hold two or three connections each.
_MAX_CONNECTIONS: Final = 500


def run(names: Sequence[str], *, quick: bool, into: Path | None) -> bool:
    """Measure these subjects, one after the other; a full run writes its page into `docs`.

    Args:
        into: the JSON file to write; a new one in `benchmarks/results` when left out. The page
            of a run that is not full is beside it.

    Returns:
        Whether all could be measured. One that fails does not keep the others from it.
    """
    with (
        PostgresServer(fsync=True, max_connections=_MAX_CONNECTIONS) as server,
        closing(PostgresDatabases(server.url())) as databases,
    ):
        bench = Bench(server, databases, quick)
        place = asyncio.run(surroundings(bench))
        _say(json.dumps(place) + "\n")
        measured = {name: _measured(name, bench) for name in names}
    reports = {name: report for name, report in measured.items() if report is not None}
    json_file = into or RESULTS / f"{place['at']}.json".replace(":", "-")
    json_file.parent.mkdir(parents=True, exist_ok=True)
    found = {"run": place, "subjects": {name: r.as_json() for name, r in reports.items()}}
    json_file.write_text(json.dumps(found, indent=1) + "\n")
    folder = DOCS if not quick and set(reports) == set(SUBJECTS) else json_file.with_suffix("")
    _write_page(place, reports, folder)
    _say(f"written to {json_file} and {folder / page.NAME}")
    return len(reports) == len(measured)


def _measured(name: str, bench: Bench) -> Report | None:
    run_loop = uvloop.run if name in _ON_UVLOOP else asyncio.run
    began = time.monotonic()
    try:
        report = run_loop(SUBJECTS[name](bench))
    except Exception:
        _say(f"== {name} FAILED\n\n{traceback.format_exc()}")
        return None
    report.minutes = (time.monotonic() - began) / 60
    _say(report.text())
    return report


def _write_page(place: dict[str, Any], reports: dict[str, Report], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / page.NAME).write_text(page.markdown(place, reports))
    for report in reports.values():
        for chart in report.charts:
            plots.draw(chart, folder / page.file_of(chart))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
