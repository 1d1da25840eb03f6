"""How fast expired sessions are swept, among how many live ones, and who feels it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from benchmarks import population
from benchmarks.bench import Bench, connected
from benchmarks.load import Call, Length, OpenLoop, closed_loop
from benchmarks.report import Chart, Curve, Goal, Panel, Report, Table, distributions
from benchmarks.samples import median, percentile
from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.errors import SessionRouterError
from session_router.settings import DEFAULT_SCHEMA
from tests.support.processes import PythonProcess

_RATE_GOAL: Final = 30_000.0
_GROWTH_GOAL: Final = 1.3
_P99_GOAL: Final = 2.0
_TOUCHES_PER_SEC: Final = 2_000
_ANSWERED_GOAL: Final = 0.98 * _TOUCHES_PER_SEC
_CROWD_SWEEPERS: Final = 8
_CROWD_TOUCHERS: Final = 64
_SWEEP_LIMIT_SEC: Final = 300.0


@dataclass(frozen=True)
class _Plan:
    """Sizes: the goals are about the last two numbers of live sessions."""

    live: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    expired: int = 100_000
    expired_in_company: int = 300_000
    without_sweep_sec: float = 10.0
    rounds: int = 3


_QUICK: Final = _Plan((10_000, 30_000, 100_000), 5_000, 10_000, 2.0, 1)


class _Swept(NamedTuple):
    seconds: float
    sessions: int
    streams: int


@dataclass
class _Findings:
    """Seconds of sweeps by number of live sessions; loads of touches; and what the crowd met."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    without: list[OpenLoop] = field(default_factory=list)
    beside: list[OpenLoop] = field(default_factory=list)
    crowd_swept: int = 0
    crowd_touches: int = 0
    crowd_errors: int = 0
    deadlocks: int = 0


async def measure(bench: Bench) -> Report:
    plan, found = _QUICK if bench.quick else _Plan(), _Findings()
    await _grow(bench, plan, found)
    async with bench.database() as url:
        live = plan.live[1]
        await population.live_sessions(url, live)
        await _beside_touches(url, live, plan, found)
        await _in_a_crowd(bench, url, live, plan, found)
    return _report(plan, found)


class _Sweeper:
    """Sweeps in a process of its own, as in production."""

    def __init__(self, process: PythonProcess) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str) -> AsyncIterator[Self]:
        async with PythonProcess.running("benchmarks.children.sweeper", url) as process:
            assert await process.line(within=60) == "ready"
            yield cls(process)

    async def sweep(self) -> _Swept:
        await self._process.tell("sweep")
        seconds, sessions, streams = (await self._process.line(within=_SWEEP_LIMIT_SEC)).split()
        return _Swept(float(seconds), int(sessions), int(streams))


async def _grow(bench: Bench, plan: _Plan, found: _Findings) -> None:
    """Sweep the same number of expired sessions among ever more live ones, in turns."""
    async with AsyncExitStack() as stack:
        swept: list[tuple[int, str, _Sweeper]] = []
        for live in plan.live:
            url = await stack.enter_async_context(bench.database())
            await population.live_sessions(url, live)
            swept.append((live, url, await stack.enter_async_context(_Sweeper.ready(url))))
            found.seconds[live] = []
        for _ in range(plan.rounds):
            for live, url, sweeper in swept:
                await population.expired_sessions(url, plan.expired, live)
                result = await sweeper.sweep()
                assert result[1:] == (plan.expired, plan.expired // 10), result
                found.seconds[live].append(result.seconds)
        for _, url, _ in swept:
            assert await _audited(url) == plan.rounds * plan.expired


async def _beside_touches(url: str, live: int, plan: _Plan, found: _Findings) -> None:
    """Touches at a steady rate, without a sweep and beside one, in turns."""
    async with _toucher(url) as manager, _Sweeper.ready(url) as sweeper:

        async def touch(_: int) -> None:
            await manager.get_session(population.session_id(random.randrange(live)))  # noqa: S311

        await closed_loop(touch, _CROWD_TOUCHERS, Length(0.0, 1.0))  # makes the connections
        for _ in range(plan.rounds):
            await population.expired_sessions(url, plan.expired_in_company, live)
            async with _steady(touch, found.without):
                await asyncio.sleep(plan.without_sweep_sec)
            async with _steady(touch, found.beside):
                await sweeper.sweep()


@asynccontextmanager
async def _steady(touch: Call, loads: list[OpenLoop]) -> AsyncIterator[None]:
    """Touches on schedule while the block lasts; on its end they are among the loads."""
    load, is_over = OpenLoop(touch, _TOUCHES_PER_SEC, SessionRouterError), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(is_over))
        yield
        is_over.set()
    loads.append(load)


async def _in_a_crowd(bench: Bench, url: str, live: int, plan: _Plan, found: _Findings) -> None:
    """Many sweep at once, while others touch what is about to be swept."""
    expired = plan.expired_in_company
    await population.expired_sessions(url, expired, live)
    before, logged = await _audited(url), len(bench.server.log())
    async with AsyncExitStack() as stack:
        manager = await stack.enter_async_context(_toucher(url))
        sweepers = await asyncio.gather(
            *(stack.enter_async_context(_Sweeper.ready(url)) for _ in range(_CROWD_SWEEPERS))
        )
        is_over = asyncio.Event()

        async def touch_until_over() -> None:
            while not is_over.is_set():
                number = random.randrange(expired)  # noqa: S311 - spreads load only
                session_id = population.expired_id(number, expired, live)
                try:
                    await manager.get_session(session_id)
                except SessionRouterError:
                    found.crowd_errors += 1
                found.crowd_touches += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(_CROWD_TOUCHERS):
                group.create_task(touch_until_over())
            results = await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
            is_over.set()
    found.crowd_swept = sum(result.sessions for result in results)
    assert await _audited(url) - before == found.crowd_swept
    found.deadlocks = bench.server.log()[logged:].count("deadlock detected")


@asynccontextmanager
async def _toucher(url: str) -> AsyncIterator[SessionManager]:
    repository = SQLAlchemySessionRepository.from_url(url)
    yield SessionManager(repository)  # not started: it would sweep by itself
    await repository.close()


async def _audited(url: str) -> int:
    """How many ends the audit trail has."""
    async with connected(url) as connection:
        count: int = await connection.fetchval(
            f"SELECT count(*) FROM {DEFAULT_SCHEMA}.session_events "  # noqa: S608 - a constant
            "WHERE event = 'session_expired'"
        )
    return count


def _report(plan: _Plan, found: _Findings) -> Report:
    _, usual, largest = plan.live
    growth = [a / b for a, b in zip(found.seconds[largest], found.seconds[usual], strict=True)]
    p99s = [
        percentile(beside.latencies, 0.99) / percentile(without.latencies, 0.99)
        for without, beside in zip(found.without, found.beside, strict=True)
    ]
    latencies = {
        "touch, without a sweep": [x for load in found.without for x in load.latencies],
        "touch, beside a sweep": [x for load in found.beside for x in load.latencies],
    }
    medians = {live: median(seconds) for live, seconds in found.seconds.items()}
    rows = [
        [f"{live:,}", f"{seconds:.2f}", f"{plan.expired / seconds:,.0f}"]
        for live, seconds in medians.items()
    ]
    curve = Curve("session_router", list(medians.items()))
    axes = "live sessions", "seconds"
    return Report(
        f"A sweep of {plan.expired:,} expired sessions",
        tables=[
            Table(["live sessions", "s", "sessions/s"], rows),
            distributions(latencies),
        ],
        goals=[
            Goal(
                f"sessions/s among {usual:,} live ones",
                plan.expired / medians[usual],
                _RATE_GOAL,
                is_upper=False,
            ),
            Goal(f"time among {largest:,} / {usual:,}", median(growth), _GROWTH_GOAL),
            Goal(
                f"99th percentile of {_TOUCHES_PER_SEC:,} touches/s beside a sweep / without",
                median(p99s),
                _P99_GOAL,
            ),
            Goal(
                f"touches/s answered of these {_TOUCHES_PER_SEC:,}",
                median([load.answered_rate for load in found.beside]),
                _ANSWERED_GOAL,
                is_upper=False,
            ),
            Goal(
                f"errors in {found.crowd_touches:,} touches of {_CROWD_TOUCHERS} callers "
                f"beside {_CROWD_SWEEPERS} sweepers",
                found.crowd_errors,
                0,
            ),
            Goal("deadlocks in the server's log meanwhile", found.deadlocks, 0),
        ],
        notes=[
            "Streams are in one of ten, expired and live. Each end is in the audit trail.",
            (
                "The sweeper is a process of its own with default settings; the numbers of live "
                f"sessions take turns, in {plan.rounds} rounds; figures are medians."
            ),
            (
                "Touches come on schedule, and their latency counts from the time they were "
                f"scheduled for. Beside them {plan.expired_in_company:,} sessions are swept."
            ),
            (
                f"The crowd touches what is about to expire: {found.crowd_swept:,} of "
                f"{plan.expired_in_company:,} were swept, the rest had been touched in time."
            ),
        ],
        samples={
            **{f"s among {live:,}": seconds for live, seconds in found.seconds.items()},
            "p99 beside / without": p99s,
        },
        charts=[
            Chart(
                "sweep",
                "sweep",
                [
                    Panel(
                        f"sweep of {plan.expired:,} sessions", *axes, [curve], is_flat_expected=True
                    )
                ],
            )
        ],
    )
