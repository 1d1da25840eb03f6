"""The same traffic is reported alike by both databases, to the last digit."""

from collections.abc import AsyncIterator

import pytest

from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic import Plan, fill

PLAN = Plan(arrivals=600, days=3)
BOUNDS = Bounds()


@pytest.fixture
async def both(sqlite_url: str, postgres_url: str) -> AsyncIterator[list[Reports]]:
    engines = []
    for url in (sqlite_url, postgres_url):
        await fill(url, PLAN)
        engines.append(create_engine(url))
    yield [Reports(engine, DEFAULT_SCHEMA) for engine in engines]
    for engine in engines:
        await engine.dispose()


async def test_every_report_of_a_time_is_the_same_on_both(both: list[Reports]) -> None:
    for report in REPORTS.values():
        if report.time is None:
            continue
        told = [[row async for row in of.read(report, BOUNDS)] for of in both]
        assert len(told[0]) > 3, report.name
        assert told[0] == told[1], report.name


async def test_streams_at_once_are_the_same_on_both(both: list[Reports]) -> None:
    told = [await of.concurrency(Bounds(PLAN.until.replace(day=28), PLAN.until)) for of in both]
    assert sum(bucket.peak for bucket in told[0]) > 0
    assert told[0] == told[1]
