"""Whether streams that come and go for ten minutes slow down, or swell their table."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from benchmarks import population
from benchmarks.bench import Bench, connected
from benchmarks.load import Call
from benchmarks.report import Goal, Report, Table
from benchmarks.work import Work
from session_router.settings import DEFAULT_SCHEMA

_CALLERS: Final = 64
_SESSIONS: Final = 100_000
_RATE_GOAL: Final = 0.8
_SIZE_GOAL_MB: Final = 64.0


@dataclass(frozen=True)
class _Plan:
    """Ten parts of a minute each."""

    parts: int = 10
    part_sec: float = 60.0


async def measure(bench: Bench) -> Report:
    plan = _Plan(4, 5.0) if bench.quick else _Plan()
    rates: list[float] = []
    sizes: list[float] = []
    async with bench.database() as url:
        await population.live_sessions(url, _SESSIONS)
        async with Work.ready(url, _SESSIONS) as work, _Churn.running(work.cycle) as churn:
            for _ in range(plan.parts):
                rates.append(await churn.rate(plan.part_sec))
                sizes.append(await _size_mb(url))
    return _report(plan, rates, sizes)


class _Churn:
    """Callers that cycle without a pause, so that no part begins on a tidied table."""

    def __init__(self, cycle: Call) -> None:
        self._cycle = cycle
        self._count = 0
        self._is_over = False

    @classmethod
    @asynccontextmanager
    async def running(cls, cycle: Call) -> AsyncIterator[Self]:
        churn = cls(cycle)
        async with asyncio.TaskGroup() as group:
            for caller in range(_CALLERS):
                group.create_task(churn._repeat(caller))
            try:
                yield churn
            finally:
                churn._is_over = True

    async def rate(self, seconds: float) -> float:
        """Cycles per second in the next so many seconds."""
        began, before = time.perf_counter(), self._count
        await asyncio.sleep(seconds)
        return (self._count - before) / (time.perf_counter() - began)

    async def _repeat(self, caller: int) -> None:
        while not self._is_over:
            await self._cycle(caller)
            self._count += 1


async def _size_mb(url: str) -> float:
    async with connected(url) as connection:
        size: int = await connection.fetchval(
            "SELECT pg_total_relation_size($1::regclass)", f"{DEFAULT_SCHEMA}.agent_streams"
        )
    return size / 2**20


def _report(plan: _Plan, rates: list[float], sizes: list[float]) -> Report:
    ends = [f"{(number + 1) * plan.part_sec:,.0f} s" for number in range(plan.parts)]
    rows = [
        [end, f"{rate:,.0f}", f"{size:.1f}"]
        for end, rate, size in zip(ends, rates, sizes, strict=True)
    ]
    return Report(
        f"Register + unmark without a pause, for {plan.parts * plan.part_sec:,.0f} s",
        tables=[Table(["until", "cycles/s", "agent_streams, MB"], rows)],
        goals=[
            Goal("throughput, last part / first", rates[-1] / rates[0], _RATE_GOAL, is_upper=False),
            Goal("agent_streams with its indexes at the end, MB", sizes[-1], _SIZE_GOAL_MB),
        ],
        notes=[
            (
                f"{_CALLERS} callers in one process, {_SESSIONS:,} live sessions; in one of ten of "
                "them another agent streams all the time."
            ),
            "Vacuuming is left to the server.",
        ],
        samples={"cycles/s": rates, "agent_streams, MB": sizes},
    )
