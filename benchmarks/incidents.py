"""What is asked of reports after incidents: thirty days, or all there is, among so many events."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.bench import connected
from benchmarks.report import Goal
from benchmarks.samples import median
from session_router.audit.export import Wanted, export
from session_router.audit.formats import Format
from session_router.audit.trail import Trail
from session_router.database.engine import create_engine
from session_router.database.schema import build_tables
from session_router.reports import REPORTS, Bounds, Reports
from session_router.reports.counting import counted_at_once
from session_router.reports.reading import view_of
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic import Plan

_LATELY: Final = timedelta(days=30)
_LATELY_SEC: Final = 0.3
_ALL_SEC: Final = 1.0
_TIMES_A_COPY: Final = 2.6
_SAMPLES: Final = 5
_LAST_FAILED: Final = """
    SELECT * FROM session_router.report_streams WHERE outcome = 'failed'
    ORDER BY started_at DESC LIMIT 20
"""
_ASKED: Final = {
    "sessions with streams, by the view": """
        SELECT count(*), sum(streams) FROM session_router.report_sessions WHERE started_at >= $1
    """,
    "who stops most": """
        SELECT actor, count(*) FROM session_router.report_interrupts
        WHERE requested_at >= $1 GROUP BY actor ORDER BY 2 DESC
    """,
    "agents of one type": """
        SELECT * FROM session_router.report_agents
        WHERE agent_type = 'writer' AND day >= CAST($1 AT TIME ZONE 'UTC' AS date)
    """,
    "activity": "SELECT * FROM session_router.report_activity WHERE hour >= $1",
}
_COPIED: Final = "SELECT * FROM session_router.report_sessions ORDER BY started_at, session_uid"


async def asked_of(url: str, plan: Plan) -> dict[str, list[float]]:
    """Samples in seconds of what is asked, of thirty days and of all, by `plan`'s end."""
    spans = {"30 days": plan.until - _LATELY, "all": plan.until - timedelta(days=plan.days + 1)}
    samples = {}
    engine = create_engine(url)
    async with connected(url) as connection:
        for span, since in spans.items():
            samples[f"sessions with streams, {span}"] = await timed(
                partial(_sessions, engine, since)
            )
            for what, statement in _ASKED.items():
                work = partial(connection.fetch, statement, since)
                samples[f"{what}, {span}"] = await timed(work)
        samples["last 20 failed streams, all"] = await timed(
            partial(connection.fetch, _LAST_FAILED)
        )
    await engine.dispose()
    return samples


async def _sessions(engine: AsyncEngine, since: datetime) -> None:
    """As the program counts, but for the rows: these are added up where they are."""
    view = view_of(REPORTS["sessions"], DEFAULT_SCHEMA)
    lives = counted_at_once(view, build_tables(DEFAULT_SCHEMA).session_events)
    numbers = select(func.count(), func.sum(lives.c.streams))
    async with engine.connect() as conn:
        await conn.execute(numbers.where(lives.c.started_at >= since))


async def written_of(url: str) -> dict[str, list[float]]:
    """Samples in seconds of all that is written as CSV, each beside a bare COPY."""
    engine = create_engine(url)
    reports = Reports(engine, DEFAULT_SCHEMA)
    sessions = REPORTS["sessions"]
    async with connected(url) as connection, Trail.opened(url) as trail:
        works: dict[str, Callable[[], Awaitable[Any]]] = {
            "sessions, bare COPY": partial(_copied, connection, _COPIED),
            "sessions, report as CSV": partial(reports.copy, sessions, Bounds(), _leave),
            "trail, bare COPY": partial(
                _copied, connection, "SELECT * FROM session_router.session_events"
            ),
            "trail, audit export as CSV": partial(_exported, trail),
        }
        samples = {what: await timed(work, 3) for what, work in works.items()}
    await engine.dispose()
    return samples


async def _copied(connection: "asyncpg.Connection[Any]", statement: str) -> None:
    await connection.copy_from_query(statement, output=_leave, format="csv")


async def _exported(trail: Trail) -> None:
    with open("/dev/null", "wb") as nowhere:  # noqa: ASYNC230, PTH123 - it never waits
        await export(trail, Format.CSV, nowhere, Wanted())


async def _leave(data: bytes) -> None:
    """Do nothing with what was read."""


def goals(asked: dict[str, list[float]], events: int) -> list[Goal]:
    """Of each median."""
    return [
        Goal(
            f"{what}, of {events:,} events: seconds",
            median(seconds),
            _LATELY_SEC if what.endswith("30 days") else _ALL_SEC,
        )
        for what, seconds in asked.items()
    ]


def written_goals(written: dict[str, list[float]]) -> list[Goal]:
    """Of what is written, in times of a bare COPY."""
    took = {what: median(seconds) for what, seconds in written.items()}
    return [
        Goal(
            f"{what} / bare COPY",
            took[what] / took[f"{what.split(',')[0]}, bare COPY"],
            _TIMES_A_COPY,
        )
        for what in took
        if "bare" not in what
    ]


async def timed(work: Callable[[], Awaitable[Any]], number: int = _SAMPLES) -> list[float]:
    """Samples in seconds of some work."""
    samples = []
    for _ in range(number + 1):
        began = time.monotonic()
        await work()
        samples.append(time.monotonic() - began)
    return samples[1:]  # the first one only warms the caches
