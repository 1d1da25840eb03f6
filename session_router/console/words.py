"""How the console says times, lengths of time, counts and names."""

from datetime import UTC, datetime, timedelta
from typing import Final

from markupsafe import Markup, escape

from session_router.watch.queries import MOST

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


def length(given: timedelta | float | None) -> str:
    """A length of time, given as such or in seconds, in the unit that reads best."""
    if given is None:
        return ""
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if seconds < 1:
        return f"{max(seconds, 0) * 1_000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:02.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:02.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def age(given: timedelta) -> str:
    """How long something has been going on: in whole seconds, since it changes as one looks."""
    seconds = max(int(given.total_seconds()), 0)
    return f"{seconds} s" if seconds < _MINUTE else length(seconds)


def moment(time: datetime | None) -> str:
    """A time in UTC, to the millisecond."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def count(number: int) -> str:
    """A count, which ends where the statements end."""
    return f"{number:,}" if number < MOST else f"{MOST:,} +"


def plain(text: object) -> str:
    """Text that anybody gave: what cannot be seen, or turns the order of others, is spelled out."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in str(text)
    )


def exact(text: str) -> Markup:
    """Text for an attribute that is sent back: browsers take a plain CR there for a line's end."""
    return escape(text).replace("\r", Markup("&#13;")).replace("\n", Markup("&#10;"))


def event(name: str) -> str:
    """An event's or an outcome's name as people say it."""
    return name.replace("_", " ")
