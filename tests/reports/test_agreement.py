"""The same traffic is reported alike by both databases, to the last digit and byte."""

import io
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from session_router.audit.export import Wanted, export
from session_router.audit.formats import Format
from session_router.audit.trail import Trail
from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports
from session_router.settings import DEFAULT_SCHEMA
from tests.audit.conftest import tamper
from tests.cli.program import Program
from tests.support.databases import PostgresDatabases
from tests.support.sql import is_sqlite
from tests.support.traffic import Plan, fill

HOSTILE = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", "\u00a0=1"),
    *("\u2003-1", "\u200b=1", "\x85=1", "\x1c=1", "'", "'=1", "a\x1b[2J", "\x9b2J", "\x01", "\x7f"),
    *("a\rb", "two\nlines", "tab\there", 'a "quoted" one', '"', "C:\\temp", "=C:\\temp\x1b", "a,b"),
    *("", " ", "\\.", "\u2028", "👩\u200d👧 é", "a-b=c", "\x1f\x1f", "\ufeff=1", "\u180e=1"),
]
PLAN = Plan(arrivals=600, days=3)
BOUNDS = Bounds()


@pytest.fixture
async def urls(sqlite_url: str, postgres_url: str) -> list[str]:
    for url in (sqlite_url, postgres_url):
        await fill(url, PLAN)
        written = [_ended_by(text, number) for number, text in enumerate(HOSTILE)]
        await tamper(
            url, *(each.replace("+00", "") if is_sqlite(url) else each for each in written)
        )
    return [sqlite_url, postgres_url]


def _ended_by(text: str, number: int) -> str:
    """A life of a session of that name, ended by somebody of that name, in SQL.

    Every other one has an owner of that name, too, and a stream of its own.
    """
    shown = text.replace("'", "''")
    uid = UUID(int=number)
    began, ended = (
        f"2026-06-29 12:00:{number:02}.000000+00",
        f"2026-06-29 12:01:{number:02}.500000+00",
    )
    is_owned = number % 2 == 1
    owner = f"'{shown}'" if is_owned else "NULL"
    columns = (
        "session_id, session_uid, event, occurred_at, started_at, actor, detail, "
        "worker_id, agent_type, agent_key, stream_id, outcome"
    )
    life = f"'{shown}', '{uid}'"
    stream = f"'{uid}', 'writer', 'main', '{uid}'"
    no_stream = "NULL, NULL, NULL, NULL, NULL"
    values = [
        f"({life}, 'session_started', '{began}', NULL, '{shown}', {owner}, {no_stream})",
        f"({life}, 'session_ended', '{ended}', '{began}', '{shown}', '{shown}', {no_stream})",
    ]
    if is_owned:
        values += [
            f"({life}, 'stream_started', '{began}', NULL, NULL, NULL, {stream}, NULL)",
            f"({life}, 'stream_finished', '{ended}', '{began}', NULL, NULL, {stream}, 'completed')",
        ]
    return f"INSERT INTO session_router.session_events ({columns}) VALUES {', '.join(values)}"


@pytest.fixture
async def both(urls: list[str]) -> AsyncIterator[list[Reports]]:
    engines = [create_engine(url) for url in urls]
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


async def test_csv_is_the_same_on_both_byte_by_byte(program: Program, urls: list[str]) -> None:
    for report in REPORTS.values():
        if report.time is not None:
            options = ("report", report.name, "--format", "csv", "--database-url")
            told = [await program.call(*options, url) for url in urls]
            assert told[0].out == told[1].out, report.name
            assert len(told[0].out.splitlines()) > 3


async def test_a_limit_and_bounds_choose_the_same_lines_of_csv(
    program: Program, urls: list[str]
) -> None:
    for name in ("sessions", "agents", "activity"):
        options = ("report", name, "--format", "csv", "--since", "2026-06-29T10:30", "--limit", "7")
        told = [await program.call(*options, "--database-url", url) for url in urls]
        assert told[0].out == told[1].out, name
        assert told[0].out.count("2026-06-29") >= 5


async def test_exports_are_the_same_on_both_byte_by_byte(urls: list[str]) -> None:
    for wanted in (
        Wanted(),
        Wanted(after=40, since=PLAN.until.replace(day=28), until=PLAN.until.replace(day=29)),
        Wanted(until=PLAN.until.replace(year=2020)),
    ):
        written = []
        for url in urls:
            async with Trail.opened(url) as trail:
                await export(trail, Format.CSV, file := io.BytesIO(), wanted)
            written.append(file.getvalue())
        assert written[0] == written[1]
        assert written[0].startswith(b"event_id,occurred_at,session_id,")


async def test_a_database_without_these_characters_exports_as_well(
    postgres: PostgresDatabases,
) -> None:
    with postgres.in_latin1() as url:
        await tamper(url, _ended_by("=\u00e9", 1))
        async with Trail.opened(url) as trail:
            done = await export(trail, Format.CSV, file := io.BytesIO(), Wanted())
    assert done.events == 4
    assert '"\'=\u00e9"' in file.getvalue().decode()
