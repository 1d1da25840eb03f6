"""What a thousand remote workers of one service cost: its memory, and the touches beside it."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.bench import Bench
from benchmarks.idle_workers import Toucher, in_pairs
from benchmarks.report import Goal, Report
from tests.support.processes import PythonProcess

_WORKERS: Final = 1_000
_TOUCH_GOAL: Final = 0.9
_MEGABYTES_GOAL: Final = 300.0
_CONNECT_WITHIN_SEC: Final = 120.0


@dataclass(frozen=True)
class _Plan:
    pairs: int = 5
    window_sec: float = 5.0


async def measure(bench: Bench) -> Report:
    plan = _Plan(2, 2.0) if bench.quick else _Plan()
    rates: dict[bool, list[float]] = {False: [], True: []}
    sizes: list[float] = []
    async with (
        bench.database() as url,
        Toucher.ready(url) as toucher,
        PythonProcess.running("benchmarks.children.service", url, "1") as service,
    ):
        port = urlsplit((await service.line()).split()[2]).port or 0
        await toucher.rate(plan.window_sec)  # warms up; not counted
        # As with idle workers: a drift favours neither side.
        order = [bool((n + 1) // 2 % 2) for n in range(2 * plan.pairs)]
        for with_workers, windows in itertools.groupby(order):
            async with AsyncExitStack() as stack:
                if with_workers:
                    await stack.enter_async_context(_remote_workers(port))
                for _ in windows:
                    rates[with_workers].append(await toucher.rate(plan.window_sec))
                sizes.append(_megabytes(service.pid))
    return _report(rates[False], rates[True], max(sizes))


@asynccontextmanager
async def _remote_workers(port: int) -> AsyncIterator[None]:
    arguments = str(port), str(_WORKERS)
    async with PythonProcess.running("benchmarks.children.remote_workers", *arguments) as workers:
        assert await workers.line(within=_CONNECT_WITHIN_SEC) == "ready"
        yield
        await workers.tell("stop")
        assert await workers.line() == "lost 0"


def _megabytes(pid: int) -> float:
    """What a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes) / 1024


def _report(without: list[float], beside: list[float], megabytes: float) -> Report:
    table, ratio = in_pairs(without, beside)
    return Report(
        f"Touches beside {_WORKERS:,} remote workers of one service",
        tables=[table],
        goals=[
            Goal("with / without, median of pairs", ratio, _TOUCH_GOAL, is_upper=False),
            Goal("the service's memory, MB", megabytes, _MEGABYTES_GOAL),
        ],
        notes=[
            "Touches go through the library, from a process of their own; the service is beside.",
            "Each worker has a connection on which it is told its signals, and beats in time.",
            "Workers, service, PostgreSQL and touches share this machine's processors.",
        ],
        samples={"touches/s without": without, "touches/s with": beside},
    )
