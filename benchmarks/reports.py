"""How long reports of one day take among 60, and pages among few sessions and among many."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Final

from benchmarks.bench import Bench, connected
from benchmarks.report import Goal, Report, distributions
from benchmarks.samples import median
from benchmarks.traffic import fill_tenfold
from session_router import SQLAlchemySessionRepository
from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic import Plan

_WITHIN_SEC: Final = 1.0
_RATIO: Final = 1.5
_SAMPLES: Final = 5
_PAGES: Final = 300
_FEW: Final = 10_000
_MANY: Final = 1_000_000
_SESSIONS: Final = """
    INSERT INTO session_router.sessions
    SELECT 's' || lpad(n::text, 7, '0'), gen_random_uuid(), now(), now()
    FROM generate_series((SELECT count(*) FROM session_router.sessions), $1 - 1) n
"""
_STORIES: Final = """
    INSERT INTO session_router.session_events (session_id, session_uid, event)
    SELECT session_id, session_uid, 'session_started' FROM session_router.sessions s
    WHERE NOT EXISTS (
        SELECT FROM session_router.session_events e WHERE e.session_id = s.session_id
    )
"""


async def measure(bench: Bench) -> Report:
    days, events = await _days(bench)
    pages = await _pages(bench)
    few, many = _FEW, _few_or_many(bench)
    goals = [Goal(f"{name}: seconds at the most", max(days[name]), _WITHIN_SEC) for name in days]
    goals += [
        Goal(
            f"{what}: median at {many:,} / at {few:,} sessions",
            median(pages[f"{what}, {many:,}"]) / median(pages[f"{what}, {few:,}"]),
            _RATIO,
        )
        for what in ("page of sessions", "page of the trail", "page of a story")
    ]
    return Report(
        f"Reports of one day of 60 among {events:,} events; pages of 100",
        tables=[distributions(days), distributions(pages)],
        goals=goals,
        notes=["A report is SELECT * from its view with bounds, fetched whole by bare asyncpg."],
        samples={**days, **pages},
    )


def _few_or_many(bench: Bench) -> int:
    return _FEW * 5 if bench.quick else _MANY


async def _days(bench: Bench) -> tuple[dict[str, list[float]], int]:
    """Samples of each report of one day in the middle."""
    plan = Plan(arrivals=3_000) if bench.quick else Plan()
    since = (plan.until - timedelta(days=plan.days // 2)).replace(hour=0)
    until = since + timedelta(days=1)
    samples: dict[str, list[float]] = {}
    async with bench.database() as url:
        events = await fill_tenfold(url, plan)
        async with connected(url) as connection:
            for report in REPORTS.values():
                bounds = f"WHERE {report.time} >= $1 AND {report.time} < $2" if report.time else ""
                view = f"{DEFAULT_SCHEMA}.{report.view}"
                statement = f"SELECT * FROM {view} {bounds}"  # noqa: S608 - names of ours
                arguments = (since, until) if report.time else ()
                samples[report.name] = await _timed(
                    partial(connection.fetch, statement, *arguments)
                )
        engine = create_engine(url)
        reports = Reports(engine, DEFAULT_SCHEMA)
        samples["concurrency"] = await _timed(partial(reports.concurrency, Bounds(since, until)))
        await engine.dispose()
    return samples, events


async def _timed(work: Callable[[], Awaitable[Any]]) -> list[float]:
    samples = []
    for _ in range(_SAMPLES + 1):
        began = time.monotonic()
        await work()
        samples.append(time.monotonic() - began)
    return samples[1:]  # the first one only warms the caches


async def _pages(bench: Bench) -> dict[str, list[float]]:
    """Samples of pages at random places, in a database that grows from few sessions to many."""
    samples: dict[str, list[float]] = {}
    async with bench.database() as url:
        repository = SQLAlchemySessionRepository.from_url(url)
        for number in (_FEW, _few_or_many(bench)):
            async with connected(url) as connection:
                await connection.execute(_SESSIONS.replace("$1", str(number)))
                await connection.execute(_STORIES)
                await connection.execute("VACUUM ANALYZE")
            random = Random(number)  # noqa: S311 - spreads samples only
            for what in ("page of sessions", "page of the trail", "page of a story"):
                samples[f"{what}, {number:,}"] = []
            for _ in range(_PAGES):
                place = random.randrange(number - 100)
                for what, page in (
                    ("page of sessions", repository.list_sessions(after=f"s{place:07}")),
                    ("page of the trail", repository.list_events(after=place)),
                    ("page of a story", repository.list_events(f"s{place:07}")),
                ):
                    began = time.monotonic()
                    assert await page
                    samples[f"{what}, {number:,}"].append(time.monotonic() - began)
        await repository.close()
    return samples
