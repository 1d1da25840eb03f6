"""How long reports of a day, of thirty and of all take, and pages among few sessions and many."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Final

from benchmarks.bench import Bench, connected
from benchmarks.incidents import asked_of, goals, timed, written_goals, written_of
from benchmarks.report import Goal, Report, Table, distributions
from benchmarks.samples import median
from benchmarks.traffic import fill_tenfold
from session_router import SQLAlchemySessionRepository
from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic import Plan

_WITHIN_SEC: Final = 1.0
_RATIO: Final = 1.5
_PAGES: Final = 300
_FEW: Final = 10_000
_MANY: Final = 1_000_000
_SESSIONS: Final = """
    INSERT INTO session_router.sessions
    SELECT 's' || lpad(n::text, 7, '0'), gen_random_uuid(), now(), now()
    FROM generate_series(0, $1::int - 1) n
"""
_STORIES: Final = """
    INSERT INTO session_router.session_events (session_id, session_uid, event)
    SELECT session_id, session_uid, 'session_started' FROM session_router.sessions
    ORDER BY session_id
"""
_PAGE_OF_SESSIONS: Final = "page of sessions"
_PAGE_OF_TRAIL: Final = "page of the trail"
_PAGE_OF_STORY: Final = "page of a story"


async def measure(bench: Bench) -> Report:
    plan = Plan(arrivals=3_000) if bench.quick else Plan()
    quarter = replace(plan, arrivals=plan.arrivals // 4)
    async with bench.database() as url:
        fewer = await fill_tenfold(url, quarter)
        asked_of_fewer = await asked_of(url, quarter)
        written = await written_of(url)
    async with bench.database() as url:
        began = time.monotonic()
        events = await fill_tenfold(url, plan)
        filled_sec = time.monotonic() - began
        days = await _days(url, plan)
        asked = await asked_of(url, plan)
    pages = await _pages(bench)
    few, many = _FEW, _few_or_many(bench)
    return Report(
        f"Reports among {events:,} events of 60 days; pages of 100",
        tables=[
            _named("of one day", days),
            _named(f"of {fewer:,} events", asked_of_fewer),
            _named(f"of {events:,} events", asked),
            _named(f"written of {fewer:,} events", written),
            distributions(pages),
        ],
        goals=[
            *(Goal(f"{name} of a day: seconds", max(days[name]), _WITHIN_SEC) for name in days),
            *goals(asked_of_fewer, fewer),
            *goals(asked, events),
            *written_goals(written),
            *(
                Goal(
                    f"{what}: median at {many:,} / at {few:,} sessions",
                    median(pages[f"{what}, {many:,}"]) / median(pages[f"{what}, {few:,}"]),
                    _RATIO,
                )
                for what in (_PAGE_OF_SESSIONS, _PAGE_OF_TRAIL, _PAGE_OF_STORY)
            ),
        ],
        notes=[
            "A report of a day is SELECT * from its view with bounds, fetched whole by asyncpg.",
            f"Goals of 30 days and of all were set for {fewer:,} events, and stand beside both.",
            "Sessions with streams are counted as `session-router report` does, or by the view.",
            f"To fill {events:,} events took {filled_sec:.0f} s.",
            "The first sample is left out. Pages among few and many are taken in turns.",
        ],
        samples={
            **days,
            **{f"{what}, of {fewer:,} events": those for what, those in asked_of_fewer.items()},
            **asked,
            **written,
            **pages,
        },
    )


def _named(name: str, samples: dict[str, list[float]]) -> Table:
    table = distributions(samples)
    return Table([f"ms, {name}", *table.header[1:]], table.rows)


def _few_or_many(bench: Bench) -> int:
    return _FEW * 5 if bench.quick else _MANY


async def _days(url: str, plan: Plan) -> dict[str, list[float]]:
    """Samples of each report of one day in the middle."""
    since = (plan.until - timedelta(days=plan.days // 2)).replace(hour=0)
    until = since + timedelta(days=1)
    samples: dict[str, list[float]] = {}
    async with connected(url) as connection:
        for report in REPORTS.values():
            bounds = f"WHERE {report.time} >= $1 AND {report.time} < $2" if report.time else ""
            view = f"{DEFAULT_SCHEMA}.{report.view}"
            statement = f"SELECT * FROM {view} {bounds}"  # noqa: S608 - names of ours
            arguments = (since, until) if report.time else ()
            samples[report.name] = await timed(partial(connection.fetch, statement, *arguments))
    engine = create_engine(url)
    reports = Reports(engine, DEFAULT_SCHEMA)
    samples["concurrency"] = await timed(partial(reports.concurrency, Bounds(since, until)))
    await engine.dispose()
    return samples


async def _pages(bench: Bench) -> dict[str, list[float]]:
    """Samples of pages at random places, among few sessions and among many in turns."""
    samples: dict[str, list[float]] = defaultdict(list)
    random = Random(1)  # noqa: S311 - spreads samples only
    async with AsyncExitStack() as stack:
        repositories = {
            number: await stack.enter_async_context(_with_sessions(bench, number))
            for number in (_FEW, _few_or_many(bench))
        }
        for _ in range(_PAGES):
            for number, repository in repositories.items():
                place = random.randrange(number - 100)
                for what, page in (
                    (_PAGE_OF_SESSIONS, repository.list_sessions(after=f"s{place:07}")),
                    (_PAGE_OF_TRAIL, repository.list_events(after=place)),
                    (_PAGE_OF_STORY, repository.list_events(f"s{place:07}")),
                ):
                    began = time.monotonic()
                    assert await page
                    samples[f"{what}, {number:,}"].append(time.monotonic() - began)
    return samples


@asynccontextmanager
async def _with_sessions(bench: Bench, number: int) -> AsyncIterator[SQLAlchemySessionRepository]:
    async with bench.database() as url:
        async with connected(url) as connection:
            await connection.execute(_SESSIONS, number)
            await connection.execute(_STORIES)
            await connection.execute("VACUUM ANALYZE")
        repository = SQLAlchemySessionRepository.from_url(url)
        yield repository
        await repository.close()
