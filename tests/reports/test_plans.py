"""Reports within bounds go by indexes, also through the views, and never over the whole trail."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Executable, Select, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.engine import create_engine
from session_router.database.schema import Tables, build_tables
from session_router.reports import REPORTS, concurrency
from session_router.reports.reading import view_of
from session_router.settings import DEFAULT_SCHEMA
from tests.database.test_query_plans import plan
from tests.support.traffic import Plan, fill

PLAN = Plan(arrivals=3_000)
SINCE = (PLAN.until - timedelta(days=PLAN.days // 2)).replace(hour=0)
UNTIL = SINCE + timedelta(days=1)

ENDED = "session_events_ended_sessions_idx"
FINISHED = "session_events_finished_streams_idx"
AGENTS = "session_events_agents_idx"
STREAMS_OF_LIVES = "session_events_streams_of_lives_idx"
REQUESTS_OF_LIVES = "session_events_requests_of_lives_idx"
SETTLED = "session_events_settled_signals_idx"
OCCURRED = "session_events_activity_idx"
WORKERS = "past_workers_started_at_idx"
ENDED_THEN = (AGENTS, OCCURRED)


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[AsyncConnection]:
    await fill(database_url, PLAN)
    engine = create_engine(database_url)
    async with engine.begin() as conn:
        await conn.execute(insert(_tables(conn).sessions), _sessions_touched_now(5_000))
        await conn.execute(insert(_tables(conn).past_workers), _workers_a_minute(5_000))
        await conn.execute(text("ANALYZE"))
    async with engine.connect() as conn:
        yield conn
    await engine.dispose()


def _tables(conn: AsyncConnection) -> Tables:
    return build_tables(None if conn.dialect.name == "sqlite" else DEFAULT_SCHEMA)


def _sessions_touched_now(number: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {"session_id": f"s{n}", "session_uid": uuid4(), "start_time": now, "last_updated": now}
        for n in range(number)
    ]


def _workers_a_minute(number: int) -> list[dict[str, Any]]:
    """Each lived for a minute, the middle one at the bounds of the reports."""
    began = [SINCE + timedelta(minutes=n - number // 2) for n in range(number)]
    minute = timedelta(minutes=1)
    known = {"host": "h", "pid": 1, "how": "stopped"}
    return [
        {"worker_id": uuid4(), "started_at": at, "ended_at": at + minute, **known} for at in began
    ]


def bounded(name: str, column: str, schema: str | None) -> Select[Any]:
    view = view_of(REPORTS[name], schema)
    since: date = SINCE.date() if column == "day" else SINCE
    until: date = UNTIL.date() if column == "day" else UNTIL
    return select(view).where(view.c[column] >= since, view.c[column] < until)


def last(name: str, column: str, schema: str | None, **of: str) -> Select[Any]:
    """The last twenty, of those that have these values."""
    view = view_of(REPORTS[name], schema)
    return select(view).filter_by(**of).order_by(view.c[column].desc()).limit(20)


async def test_reports_within_bounds_go_by_their_indexes(conn: AsyncConnection) -> None:
    schema = _tables(conn).metadata.schema
    backlog = select(view_of(REPORTS["backlog"], schema))
    at_once = concurrency.statement(conn.dialect, schema, concurrency.buckets(SINCE, UNTIL), UNTIL)
    wanted: list[tuple[str, Executable, str | tuple[str, ...]]] = [
        ("sessions that began", bounded("sessions", "started_at", schema), ENDED),
        ("sessions that ended", bounded("sessions", "ended_at", schema), OCCURRED),
        ("streams that began", bounded("streams", "started_at", schema), FINISHED),
        ("streams that ended", bounded("streams", "ended_at", schema), ENDED_THEN),
        ("interrupts requested", bounded("interrupts", "requested_at", schema), SETTLED),
        ("interrupts settled", bounded("interrupts", "settled_at", schema), OCCURRED),
        ("agents of a day", bounded("agents", "day", schema), AGENTS),
        ("the last that failed", last("streams", "started_at", schema, outcome="failed"), FINISHED),
        ("the last that ended", last("streams", "ended_at", schema, outcome="failed"), ENDED_THEN),
        ("the last sessions", last("sessions", "started_at", schema), ENDED),
        ("streams of sessions", bounded("sessions", "started_at", schema), STREAMS_OF_LIVES),
        ("interrupts in sessions", bounded("sessions", "started_at", schema), REQUESTS_OF_LIVES),
        ("who asked", bounded("interrupts", "requested_at", schema), REQUESTS_OF_LIVES),
        ("workers that began", bounded("workers", "started_at", schema), WORKERS),
        ("hours of a day", bounded("activity", "hour", schema), OCCURRED),
        ("streams at once", at_once, FINISHED),
        ("backlog", backlog, "sessions_idle_idx"),
    ]
    wrong = {}
    for what, statement, index in wanted:
        said = await plan(conn.engine, statement)
        indexes = (index,) if isinstance(index, str) else index
        if not any(name in said for name in indexes) or _reads_the_whole_trail(said):
            wrong[what] = said
        if what.startswith("the last") and "Bitmap" in said:  # which has no order
            wrong[what] = said
    assert wrong == {}


def _reads_the_whole_trail(said: str) -> bool:
    """Whether rows of the trail are read without an index."""
    trail = '"Relation Name": "session_events"'
    nodes = said.split('"Node Type"')
    on_postgresql = any(node.startswith(': "Seq Scan"') and trail in node for node in nodes)
    return on_postgresql or any(f'"SCAN {name}"' in said for name in ("e", "x", "f", "r"))
