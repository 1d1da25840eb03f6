"""Sessions whose streams and interrupts are counted at once are those that the view tells."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.database.engine import create_engine
from session_router.database.schema import build_tables
from session_router.reports import REPORTS, Bounds, Reports
from session_router.reports.counting import counted_at_once
from session_router.reports.reading import view_of
from session_router.settings import DEFAULT_SCHEMA
from tests.database.test_query_plans import plan
from tests.support.databases import PostgresDatabases, SqliteDatabases, run
from tests.support.traffic import Plan, fill

SESSIONS = REPORTS["sessions"]
DAYS = 6


def test_every_session_is_told_as_the_view_tells_it(
    postgres: PostgresDatabases, sqlite: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the bounds, a small part of the trail or all of it."""
    with postgres.fresh() as on_postgresql:
        urls = [on_postgresql, sqlite.fresh(tmp_path_factory.mktemp("counting"))]
        plan = Plan(arrivals=300, days=DAYS, until=datetime(2026, 6, 30, 15, tzinfo=UTC))
        for url in urls:
            run(fill(url, plan))
        minutes = st.integers(0, DAYS * 24 * 60)

        @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(since=minutes, length=minutes)
        def is_the_same(since: int, length: int) -> None:
            begin = plan.until - timedelta(days=DAYS) + timedelta(minutes=since)
            bounds = Bounds(begin, begin + timedelta(minutes=length + 1))
            for url in urls:
                run(_compare(url, bounds))

        is_the_same()


async def _compare(url: str, bounds: Bounds) -> None:
    engine = create_engine(url)
    told = [row async for row in Reports(engine, DEFAULT_SCHEMA).read(SESSIONS, bounds)]
    assert told == await _as_the_view_tells(engine, bounds)
    await engine.dispose()


async def _as_the_view_tells(engine: AsyncEngine, bounds: Bounds) -> list[object]:
    view = view_of(SESSIONS, _schema(engine))
    within = [view.c.started_at >= bounds.since, view.c.started_at < bounds.until]
    order = (view.c.started_at, view.c.session_uid)
    async with engine.connect() as conn:
        rows = await conn.execute(select(view).where(*within).order_by(*order))
        return [SESSIONS.row(**row._mapping) for row in rows]


def _schema(engine: AsyncEngine) -> str | None:
    return None if engine.dialect.name == "sqlite" else DEFAULT_SCHEMA


async def test_counting_at_once_reads_the_indexes_of_what_is_counted(database_url: str) -> None:
    await fill(database_url, Plan(arrivals=3_000))
    engine = create_engine(database_url)
    view = view_of(SESSIONS, _schema(engine))
    trail = build_tables(_schema(engine)).session_events
    said = await plan(engine, select(counted_at_once(view, trail)))
    for name in ("streams", "requests"):
        assert f"session_events_{name}_of_lives_idx" in said
    await engine.dispose()
