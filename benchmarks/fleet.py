"""How much many processes with few callers each get done, against others that do the same work."""

import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from benchmarks import population
from benchmarks.bench import Bench
from benchmarks.contenders import OURS, Contest, Turns, take_turns
from benchmarks.load import Length, Window
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median, percentile
from tests.support.processes import PythonProcess

_SESSIONS: Final = 100_000
_ASYNCPG: Final = "bare asyncpg"
_RACY: Final = "bare asyncpg, racy"
_SAFE: Final = "bare asyncpg, safe"
_SPREAD_GOAL: Final = 5.0
_SPREAD_OF: Final = (16, 4)
_START_SEC: Final = 0.2


@dataclass(frozen=True)
class _Size:
    """So many processes with so many callers each, and the bounds that are kept there."""

    processes: int
    callers: int
    touch: float
    racy: float
    safe: float

    def __str__(self) -> str:
        return f"{self.processes} x {self.callers}"


_SIZES: Final = (_Size(16, 4, 2, 1.2, 2.5), _Size(8, 32, 5, 3, 5))
_FULL: Final = (3, Length(0.5, 3.0))
_QUICK: Final = (1, Length(0.2, 1.0))


@dataclass(frozen=True)
class _Fleet:
    """A contender that is spread over processes."""

    name: str
    work: str
    processes: list[PythonProcess]

    async def window(self, callers: int, length: Length) -> Window:
        begin = time.monotonic() + _START_SEC + length.warm_up
        order = f"{self.work} {begin!r} {begin + length.seconds!r}"
        for process in self.processes:
            await process.tell(order)
        told = [json.loads(await process.line()) for process in self.processes]
        latencies = [latency for one in told for latency in one["latencies"]]
        rate = sum(one["answered"] for one in told) / length.seconds
        return Window(rate, median(latencies), percentile(latencies, 0.99))


@dataclass(frozen=True)
class _Found:
    touches: Contest
    cycles: Contest

    def of(self, work: str) -> Contest:
        return self.touches if work == "touch" else self.cycles


async def measure(bench: Bench) -> Report:
    found = {}
    for size in _SIZES:
        async with bench.database() as url:
            await population.live_sessions(url, _SESSIONS)
            found[size] = await _contests(url, size, *(_QUICK if bench.quick else _FULL))
    return Report(
        "Throughput of a fleet of processes on PostgreSQL",
        tables=[_rates(found), _latencies(found)],
        goals=[*_goals(found)],
        notes=[
            "`16 x 4` is sixteen processes, each a worker, with four callers each.",
            "Each caller calls anew as soon as it has its answer.",
            "All processes do the same work at the same time; contenders take turns.",
        ],
        samples={
            f"{work}, {name}, {size}: rate, median, p99": [
                figure
                for window in contest.windows[name][size.callers]
                for figure in (window.rate, window.median, window.p99)
            ]
            for size, both in found.items()
            for work, contest in (("touch", both.touches), ("register + unmark", both.cycles))
            for name in contest.windows
        },
    )


async def _contests(url: str, size: _Size, rounds: int, length: Length) -> _Found:
    async with AsyncExitStack() as stack:
        arguments = url, str(_SESSIONS), str(size.callers)
        processes = [
            await stack.enter_async_context(
                PythonProcess.running("benchmarks.children.fleet", *arguments)
            )
            for _ in range(size.processes)
        ]
        for process in processes:
            assert await process.line() == "ready"
        turns = Turns((size.callers,), rounds, length)

        async def tidy() -> None:
            await population.tidy(url)

        touches = await take_turns(
            [_Fleet(OURS, "touch", processes), _Fleet(_ASYNCPG, "bare-touch", processes)],
            turns,
            tidy,
        )
        cycles = await take_turns(
            [
                _Fleet(OURS, "cycle", processes),
                _Fleet(_RACY, "racy-cycle", processes),
                _Fleet(_SAFE, "safe-cycle", processes),
            ],
            turns,
            tidy,
        )
    return _Found(touches, cycles)


def _goals(found: dict[_Size, _Found]) -> list[Goal]:
    goals = []
    for size, both in found.items():
        for work, contest, peer, bound in (
            ("touch", both.touches, _ASYNCPG, size.touch),
            ("register + unmark", both.cycles, _RACY, size.racy),
            ("register + unmark", both.cycles, _SAFE, size.safe),
        ):
            ratio = contest.throughput_ratio(peer, size.callers)
            goals.append(Goal(f"{work} / {peer}, throughput, {size}", ratio, bound, is_upper=False))
        if (size.processes, size.callers) == _SPREAD_OF:
            for work, contest in (("touch", both.touches), ("register + unmark", both.cycles)):
                spread = contest.spread(size.callers)
                goals.append(
                    Goal(f"{work}, 99th percentile / median, {size}", spread, _SPREAD_GOAL)
                )
    return goals


def _table(
    found: dict[_Size, _Found], what: str, cell: Callable[[Contest, str, int], str]
) -> Table:
    rows = []
    for work, names in (
        ("touch", (OURS, _ASYNCPG)),
        ("register + unmark", (OURS, _RACY, _SAFE)),
    ):
        for name in names:
            contests = [(size, both.of(work)) for size, both in found.items()]
            cells = [cell(contest, name, size.callers) for size, contest in contests]
            rows.append([f"{work}, {name}", *cells])
    return Table([what, *map(str, found)], rows)


def _rates(found: dict[_Size, _Found]) -> Table:
    return _table(found, "calls/s", lambda contest, name, n: f"{contest.rate(name, n):,.0f}")


def _latencies(found: dict[_Size, _Found]) -> Table:
    def both(contest: Contest, name: str, callers: int) -> str:
        latencies = contest.median_latency(name, callers), contest.p99_latency(name, callers)
        return " / ".join(f"{seconds * 1000:.1f}" for seconds in latencies)

    return _table(found, "median / p99, ms", both)
