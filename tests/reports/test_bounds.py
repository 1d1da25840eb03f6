"""Bounds in time: what is understood, and what is refused before anything is read."""

from datetime import UTC, datetime, timedelta

import pytest

from session_router.errors import InvalidValueError
from session_router.reports.bounds import Bounds, parse_moment
from tests.cli.program import Program
from tests.cli.test_faults import assert_clean

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:30", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31 12:30:01.5", datetime(2026, 1, 31, 12, 30, 1, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:30Z", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31T12:30+02:00", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta(0)),
    ],
)
def test_a_time_is_a_date_a_time_or_so_long_ago(text: str, time: datetime | timedelta) -> None:
    assert parse_moment(text, "--since") == time


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "-7d", "7y", "7.5d", "9999999d", "٣d", "yesterday", "2026-13-01",
     "12:00"],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"--since .* is no time; write"):
        parse_moment(text, "--since")


def test_so_long_ago_is_reckoned_from_now() -> None:
    assert Bounds(timedelta(days=1), timedelta(hours=1)).at(NOW) == (
        NOW - timedelta(days=1),
        NOW - timedelta(hours=1),
    )
    assert Bounds().at(NOW) == (None, None)


@pytest.mark.parametrize("since", [NOW, NOW + timedelta(days=1), timedelta(0)])
def test_bounds_with_nothing_between_them_are_refused(since: datetime | timedelta) -> None:
    with pytest.raises(InvalidValueError, match="is not before --until"):
        Bounds(since, NOW).at(NOW)


@pytest.mark.parametrize("ago", ["999999d", "739700d"])
def test_so_long_ago_that_there_was_no_calendar_is_refused(ago: str) -> None:
    with pytest.raises(InvalidValueError, match="days ago is beyond all calendars"):
        Bounds(parse_moment(ago, "--since")).at(NOW)


ENDS = ["0001-01-01T00:00+23:00", "0001-01-01", "9999-12-31T23:59-23:00", "9999-12-31T23:59:59Z"]
TAKE_TIMES = [
    ["audit", "prune", "--before"],
    ["audit", "export", "--since"],
    ["audit", "export", "--until"],
    ["report", "sessions", "--since"],
    ["report", "activity", "--since"],
    ["report", "concurrency", "--until"],
]


@pytest.mark.parametrize("command", TAKE_TIMES, ids=" ".join)
def test_every_command_refuses_what_no_calendar_has_and_what_is_no_time(
    program: Program, sqlite_url: str, command: list[str]
) -> None:
    for time in (*ENDS, "", "yesterday", "2026-02-30"):
        done = program(*command, time, "--database-url", sqlite_url)
        assert done.code == 2, time
        assert_clean(done)
        assert f"{command[-1]} {time!a} is" in done.err


@pytest.mark.parametrize("command", TAKE_TIMES, ids=" ".join)
def test_every_command_takes_the_first_and_the_last_time_with_and_without_a_zone(
    program: Program, sqlite_url: str, command: list[str]
) -> None:
    for time in ("0002-01-01", "9998-12-31T23:59:59+00:00", "2026-01-31T12:30Z", "2026-01-31"):
        if command[1] == "concurrency" and not time.startswith("2026"):
            continue  # too far from now to be reckoned
        if command[1] == "prune" and time.startswith("9998"):
            continue  # everything, which is asked for otherwise
        assert program(*command, time, "--database-url", sqlite_url).code == 0, time
