"""What a hundred idle workers, connected and listening, cost the touches of a busy one."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

from benchmarks import population
from benchmarks.bench import Bench, connected
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median
from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.settings import Tuning
from tests.support.processes import PythonProcess

_GOAL: Final = 0.9
_PROCESSES: Final = 4
_WORKERS: Final = 100
_CALLERS: Final = 16
_SESSIONS: Final = 100_000


@dataclass(frozen=True)
class _Plan:
    """How long things take: a window holds each idle worker's heartbeat, and half its reaping."""

    pairs: int = 7
    window_sec: float = 5.0
    start_within_sec: float = 10.0
    # A worker reaps only when it has lived for a lease, and begins within a third of one. What it
    # does for the first time costs it many times as much as ever after: SQL is composed once.
    settle_sec: float = Tuning().lease_sec * 4 / 3 + 1


async def measure(bench: Bench) -> Report:
    plan = _Plan(3, 2.0, 4.0, 1.0) if bench.quick else _Plan()
    rates: dict[bool, list[float]] = {False: [], True: []}
    async with bench.database() as url, Toucher.ready(url) as toucher:
        await toucher.rate(plan.window_sec)  # warms up; not counted
        # without, with | with, without | without, with | ...: a drift favours neither side, and
        # neighbours share one start of the idle workers.
        order = [bool((n + 1) // 2 % 2) for n in range(2 * plan.pairs)]
        for with_idle, windows in itertools.groupby(order):
            async with AsyncExitStack() as stack:
                if with_idle:
                    await stack.enter_async_context(_idle_workers(url, plan))
                for _ in windows:
                    rates[with_idle].append(await toucher.rate(plan.window_sec))
    return _report(rates[False], rates[True])


class Toucher:
    """Touches sessions as fast as a few callers in one process can."""

    def __init__(self, url: str, manager: SessionManager) -> None:
        self._url = url
        self.manager = manager
        self._ids: Iterator[int] = itertools.cycle(range(_SESSIONS))

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str) -> AsyncIterator[Self]:
        await population.live_sessions(url, _SESSIONS)
        repository = SQLAlchemySessionRepository.from_url(url)
        yield cls(url, SessionManager(repository))
        await repository.close()

    async def rate(self, seconds: float) -> float:
        """Touches per second."""
        await population.tidy(self._url)
        began = time.monotonic()
        counts = await asyncio.gather(*(self._touch(began + seconds) for _ in range(_CALLERS)))
        return sum(counts) / (time.monotonic() - began)

    async def _touch(self, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            session_id = population.session_id(next(self._ids))
            assert await self.manager.get_session(session_id) is not None
            count += 1
        return count


@asynccontextmanager
async def _idle_workers(url: str, plan: _Plan) -> AsyncIterator[None]:
    """A hundred workers in a few processes, started anew, and stopped when the block ends."""
    share = str(_WORKERS // _PROCESSES), str(plan.start_within_sec)
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                PythonProcess.running("benchmarks.children.idle", url, *share)
            )
            for _ in range(_PROCESSES)
        ]
        for process in processes:
            assert await process.line(within=60) == "ready"
        await asyncio.sleep(plan.settle_sec)
        async with connected(url) as connection:
            listening = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name LIKE 'session_router % listen' "
                "AND datname = current_database()"
            )
        assert listening == _WORKERS, listening
        yield
        for process in processes:
            await process.tell("stop")
        for process in processes:
            await process.result()


def in_pairs(without: list[float], beside: list[float]) -> tuple[Table, float]:
    """Rates of touches pair by pair, and the median of their ratios."""
    ratios = [busy / alone for alone, busy in zip(without, beside, strict=True)]
    rows = [
        [f"pair {number}", f"{alone:,.0f}", f"{busy:,.0f}", f"{ratio:.3f}"]
        for number, (alone, busy, ratio) in enumerate(
            zip(without, beside, ratios, strict=True), start=1
        )
    ]
    return Table(["touches/s", "without", "with", "ratio"], rows), median(ratios)


def _report(without: list[float], with_idle: list[float]) -> Report:
    table, ratio = in_pairs(without, with_idle)
    return Report(
        f"Touches beside {_WORKERS} idle workers that listen",
        tables=[table],
        goals=[Goal("with / without, median of pairs", ratio, _GOAL, is_upper=False)],
        notes=[
            f"{_CALLERS} callers in one process touch {_SESSIONS:,} sessions in turn.",
            f"The workers run in {_PROCESSES} processes on this machine, each with its own engine.",
            f"They have run for {_Plan().settle_sec:.0f} s, and each has done each of its jobs.",
            "For `without` they are shut down. The order within the pairs alternates.",
        ],
        samples={"touches/s without": without, "touches/s with": with_idle},
    )
