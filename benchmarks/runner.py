"""Runs benchmarks on a server of their own, prints what they found, and keeps it as JSON."""

import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import idle_workers, interrupts, statements
from benchmarks.bench import Bench, connected
from benchmarks.report import Report
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresServer

SUBJECTS: Final[dict[str, Callable[[Bench], Coroutine[Any, Any, Report]]]] = {
    "interrupts": interrupts.measure,
    "idle_workers": idle_workers.measure,
    "statements": statements.measure,
}
RESULTS: Final = Path(__file__).parent / "results"
# A hundred workers hold two or three connections each.
_MAX_CONNECTIONS: Final = 500


def run(names: Sequence[str], *, quick: bool, into: Path | None) -> None:
    """Measure these subjects, one after the other.

    Args:
        into: the JSON file to write; a new one in `benchmarks/results` when left out.
    """
    with (
        PostgresServer(fsync=True, max_connections=_MAX_CONNECTIONS) as server,
        closing(PostgresDatabases(server.url())) as databases,
    ):
        bench = Bench(server, databases, quick)
        surroundings = asyncio.run(_surroundings(bench))
        _say(json.dumps(surroundings) + "\n")
        reports = {name: _measured(name, bench) for name in names}
    found = {"run": surroundings, "subjects": {n: r.as_json() for n, r in reports.items()}}
    path = into or RESULTS / f"{surroundings['at']}.json".replace(":", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    _say(f"written to {path}")


def _measured(name: str, bench: Bench) -> Report:
    report = asyncio.run(SUBJECTS[name](bench))
    _say(report.text())
    return report


async def _surroundings(bench: Bench) -> dict[str, Any]:
    async with connected(bench.server.url()) as connection:
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "postgresql": await connection.fetchval("SHOW server_version"),
            "fsync": await connection.fetchval("SHOW fsync"),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load": os.getloadavg()[0],
            "quick": bench.quick,
        }


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
