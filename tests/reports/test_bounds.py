"""Bounds in time: what is understood, and what is refused before anything is read."""

from datetime import UTC, datetime, timedelta

import pytest

from session_router.errors import InvalidValueError
from session_router.reports.bounds import Bounds, parse_moment

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
    ["", "7", "d", "7 d", "-7d", "7y", "7.5d", "9999999d", "٣d", "yesterday", "2026-13-01", "12:00",
     "0001-01-01T00:00+14:00"],
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


def test_before_all_calendars_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="before all calendars"):
        Bounds(parse_moment("999999d", "--since")).at(NOW)
