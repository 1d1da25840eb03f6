"""Hours and days of which not all is told look otherwise in pictures, and the legend says so."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports, Told
from session_router.reports.plots import draw
from session_router.settings import DEFAULT_SCHEMA
from tests.support.traffic import Plan, fill

PLAN = Plan(arrivals=300, days=4)
DAY = timedelta(days=1)


async def drawn(name: str, reports: Reports, bounds: Bounds, path: Path) -> str:
    """The picture as text; without outlines of letters, so that words can be searched."""
    told = await reports.told(REPORTS[name], bounds)
    await draw(name, reports.read(REPORTS[name], bounds), path, told)
    return await asyncio.to_thread(path.read_text)


@pytest.mark.parametrize("name", ["activity", "agents"])
async def test_a_first_and_last_day_in_part_is_dotted_and_named(
    sqlite_url: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    await fill(sqlite_url, PLAN)
    engine = create_engine(sqlite_url)
    reports = Reports(engine, DEFAULT_SCHEMA)
    noon = PLAN.until.replace(day=29, hour=12)
    unit = "hour" if name == "activity" else "day"
    in_part = await drawn(name, reports, Bounds(), tmp_path / "part.svg")
    whole = await drawn(
        name,
        reports,
        Bounds(noon.replace(day=28, hour=0), noon.replace(day=30, hour=0)),
        tmp_path / "whole.svg",
    )
    await engine.dispose()
    assert f"{unit} not whole" in in_part
    assert f"{unit} not whole" not in whole


def test_a_day_is_whole_where_all_of_it_is_told() -> None:
    begin = datetime(2026, 6, 29, tzinfo=UTC)
    told = Told(begin, begin + 2 * DAY)
    assert told.has_whole(begin, DAY)
    assert told.has_whole(begin + DAY, DAY)
    assert not told.has_whole(begin + DAY + timedelta(hours=1), DAY)
    assert not told.has_whole(begin - timedelta(hours=1), DAY)
