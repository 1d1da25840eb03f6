"""Bounds in time, as people give them: dates, times, or so long ago."""

import re
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import Final

from session_router.errors import InvalidValueError

Moment = datetime | timedelta
"""A time, or how long before now it was."""

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_WRITTEN: Final = (
    "write a date or time such as 2026-01-31 or 2026-01-31T12:00 (UTC, unless it says otherwise)"
)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class InvalidTimeError(InvalidValueError):
    """A time, or a pair of them, is not acceptable as a bound."""


@dataclass(frozen=True)
class Bounds:
    """From `since` to before `until`; what is left out does not bound."""

    since: Moment | None = None
    until: Moment | None = None

    def at(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Both as times.

        Raises:
            InvalidTimeError: `since` is not before `until`, or is beyond all calendars.
        """
        since, until = _time(self.since, now), _time(self.until, now)
        if since is not None and until is not None and since >= until:
            raise InvalidTimeError(
                f"--since {since:%Y-%m-%d %H:%M:%S} is not before --until "
                f"{until:%Y-%m-%d %H:%M:%S} (UTC); give an earlier one, or a later --until."
            )
        return since, until


def parse_moment(text: str, what: str) -> Moment:
    """A time as `parse_time` takes it, or a length before now such as `7d`.

    Raises:
        InvalidTimeError: it is neither.
    """
    if ago := _AGO.fullmatch(text):
        return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return _parsed(text, what, f"{_WRITTEN}, or so long ago: 90s, 30m, 24h, 7d")


def parse_time(text: str, what: str) -> datetime:
    """A time from `2026-01-31` or `2026-01-31T12:00`; without a zone it is UTC.

    Raises:
        InvalidTimeError: it is no time, or is beyond all calendars.
    """
    return _parsed(text, what, _WRITTEN)


def _parsed(text: str, what: str, remedy: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        utc = (time.replace(tzinfo=UTC) if time.tzinfo is None else time).astimezone(UTC)
    except ValueError:
        raise InvalidTimeError(f"{what} {text!a} is no time; {remedy}.") from None
    except OverflowError:
        utc = None
    return _within_calendars(utc, f"{what} {text!a}")


def _time(moment: Moment | None, now: datetime) -> datetime | None:
    if not isinstance(moment, timedelta):
        return moment
    try:
        time = now - moment
    except OverflowError:
        time = None
    return _within_calendars(time, f"{moment.days} days ago")


def _within_calendars(time: datetime | None, told: str) -> datetime:
    """Leaves room at either end, so that a day or a week more or less is a time as well."""
    if time is None or not MINYEAR < time.year < MAXYEAR:
        raise InvalidTimeError(
            f"{told} is beyond all calendars; give a time between the years 2 and 9998."
        )
    return time
