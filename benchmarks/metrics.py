"""What metrics cost: a scrape, a look at the database, and the touches beside them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from benchmarks import population
from benchmarks.bench import Bench, connected
from benchmarks.idle_workers import Toucher
from benchmarks.report import Goal, Report, Table, distributions
from benchmarks.samples import median, percentile
from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.telemetry.metrics import Metrics
from tests.support.processes import PythonProcess
from tests.support.waiting import eventually

_SCRAPE_GOAL_MS: Final = 50.0
_TOUCH_GOAL: Final = 0.95
_SCRAPES_EVERY_SEC: Final = 1.0
_OUTCOMES: Final = "ARRAY['completed', 'completed', 'completed', 'failed', 'interrupted']"
_EVENTS: Final = f"""
    INSERT INTO session_router.session_events
        (session_id, session_uid, event, agent_type, agent_key, stream_id, started_at, outcome)
    SELECT 'session-' || n, gen_random_uuid(), 'stream_finished', 'type' || n % 100, 'a',
        gen_random_uuid(), clock_timestamp() - n % 4000 * interval '1 second',
        ({_OUTCOMES})[1 + n % 5]
    FROM generate_series(1, $1::int) n
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class _Plan:
    sessions: int = 1_000_000
    events: int = 100_000
    scrapes: int = 300
    looks: int = 10
    pairs: int = 7
    window_sec: float = 5.0


_QUICK: Final = _Plan(100_000, 20_000, 50, 3, 3, 3.0)


async def measure(bench: Bench) -> Report:
    plan = _QUICK if bench.quick else _Plan()
    async with bench.database() as url:
        await population.live_sessions(url, plan.sessions)
        looks = await _looks(url, plan)
        scrapes = await _scrapes(url, plan)
    async with bench.database() as url, Toucher.ready(url) as toucher:
        rates = await _touches(toucher, plan)
    return _report(plan, {**looks, "scrape over HTTP": scrapes}, rates)


async def _looks(url: str, plan: _Plan) -> dict[str, list[float]]:
    """Looks at the database, without events since the last one, and with so many."""
    repository = SQLAlchemySessionRepository.from_url(url)
    metrics = Metrics(SessionManager(repository))
    await metrics.refresh()
    idle = [await _timed(metrics.refresh) for _ in range(plan.looks)]
    busy = []
    for _ in range(plan.looks):
        async with connected(url) as connection:
            await connection.execute(_EVENTS, plan.events)
        busy.append(await _timed(metrics.refresh))
    await repository.close()
    return {"look at the database": idle, f"... with {plan.events:,} events since": busy}


async def _scrapes(url: str, plan: _Plan) -> list[float]:
    """Scrapes of a service that has as many series as it can have."""
    async with PythonProcess.running("benchmarks.children.service", url, "1") as service:
        address = (await service.line()).split()[2]
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            await _until_it_tells(client, "sessions_live")
            async with connected(url) as connection:
                await connection.execute(_EVENTS, plan.events)
            await _until_it_tells(client, "stream_duration_seconds_count")
            scrape = partial(client.get, "/metrics")
            return [await _timed(scrape) for _ in range(plan.scrapes)]


async def _until_it_tells(client: httpx.AsyncClient, sample: str) -> None:
    async def tells() -> bool:
        return f"\nsession_router_{sample}" in (await client.get("/metrics")).text

    await eventually(tells)


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _touches(toucher: Toucher, plan: _Plan) -> dict[bool, list[float]]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    await toucher.rate(plan.window_sec)  # warms up; not counted
    # As with idle workers: a drift favours neither side.
    for with_metrics in [bool((n + 1) // 2 % 2) for n in range(2 * plan.pairs)]:
        if with_metrics:
            async with _scraped(toucher.manager):
                rates[True].append(await toucher.rate(plan.window_sec))
        else:
            rates[False].append(await toucher.rate(plan.window_sec))
    return rates


@asynccontextmanager
async def _scraped(manager: SessionManager) -> AsyncIterator[None]:
    """Metrics in the same process and event loop, scraped more often than by Prometheus.

    They look at the database at the beginning of each window, so more often than else.
    """

    async def scrape(metrics: Metrics) -> None:
        while True:
            metrics.exposition("")
            await asyncio.sleep(_SCRAPES_EVERY_SEC)

    async with Metrics(manager) as metrics:
        scraping = asyncio.create_task(scrape(metrics))
        try:
            yield
        finally:
            scraping.cancel()
            with suppress(asyncio.CancelledError):
                await scraping


def _report(plan: _Plan, samples: dict[str, list[float]], rates: dict[bool, list[float]]) -> Report:
    ratios = [busy / alone for alone, busy in zip(rates[False], rates[True], strict=True)]
    rows = [
        [f"pair {number}", f"{alone:,.0f}", f"{busy:,.0f}", f"{ratio:.3f}"]
        for number, (alone, busy, ratio) in enumerate(
            zip(rates[False], rates[True], ratios, strict=True), start=1
        )
    ]
    scrape = percentile(samples["scrape over HTTP"], 0.99) * 1_000
    return Report(
        f"Metrics of {plan.sessions:,} live sessions, and touches beside them",
        tables=[distributions(samples), Table(["touches/s", "without", "with", "ratio"], rows)],
        goals=[
            Goal("a scrape, 99 %, ms", scrape, _SCRAPE_GOAL_MS),
            Goal("touches with / without", median(ratios), _TOUCH_GOAL, is_upper=False),
        ],
        notes=[
            "A service looks at the database every 10 s, and a scrape only tells what was seen.",
            "The events are of more types of agents than are told apart.",
            f"Touches: their loop looks once a window and scrapes each {_SCRAPES_EVERY_SEC:g} s.",
        ],
        samples={
            **samples,
            "touches/s without": rates[False],
            "touches/s with": rates[True],
        },
    )
