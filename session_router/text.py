"""What a text must be before it may travel to a database, a URL or a log line."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from session_router.errors import InvalidValueError, RefusedError

T = TypeVar("T")

NAME_LIMIT: Final = 255
FREE_TEXT_LIMIT: Final = 2_000
STORABLE_CHARACTER: Final = r"[^\x00]"
"""A character that every database can hold, for JSON Schema; a lone surrogate is no JSON text."""
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def check_name(value: object, what: str, error: type[InvalidValueError]) -> str:
    """Return `value` when it is text of 1 to 255 characters that every database can hold.

    NUL is refused because PostgreSQL cannot store it, lone surrogates because UTF-8 cannot.

    Raises:
        InvalidValueError: the subclass `error`, naming `what`, the value and the remedy.
    """
    text = _check_encodable(value, what, error)
    if not 1 <= len(text) <= NAME_LIMIT:
        raise error(f"{what} {_shown(text)} has {len(text)} characters; give it 1 to {NAME_LIMIT}.")
    return text


def check_free_text(value: str | None, what: str) -> str | None:
    """Return `value` when it is None or at most 2,000 storable characters.

    Raises:
        InvalidValueError: naming `what` and the remedy.
    """
    if value is None:
        return None
    text = _check_encodable(value, what, InvalidValueError)
    if len(text) > FREE_TEXT_LIMIT:
        raise InvalidValueError(
            f"{what} {_shown(text)} has {len(text)} characters; give it at most {FREE_TEXT_LIMIT}."
        )
    return text


def clip(value: str) -> str:
    """Make any text storable as free text: what cannot be stored is replaced, the rest cut."""
    storable = value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return storable if len(storable) <= FREE_TEXT_LIMIT else storable[: FREE_TEXT_LIMIT - 1] + "…"


async def with_storable(write: Callable[[str | None], Awaitable[T]], detail: str | None) -> T:
    """Write with `detail`, or with what of it the database can store.

    A database whose encoding is not UTF-8 refuses some texts. What became of a stream or a signal
    matters more than what is said of it: refused, it is written in ASCII, then without a detail.

    Raises:
        RefusedError: it was not the detail.
    """
    *preferred, last = dict.fromkeys((detail, detail and in_ascii(detail), None))
    for told in preferred:
        with suppress(RefusedError):
            return await write(told)
    return await write(last)


def in_ascii(value: str) -> str:
    """A free text as every database can store it."""
    return value.encode("ascii", "backslashreplace").decode("ascii")[:FREE_TEXT_LIMIT]


def _check_encodable(value: object, what: str, error: type[InvalidValueError]) -> str:
    if not isinstance(value, str):
        raise error(f"{what} {_shown(value)} is of type {type(value).__name__}; give it as str.")
    if "\0" in value:
        raise error(f"{what} {_shown(value)} contains a NUL character; remove it.")
    if _LONE_SURROGATE.search(value):
        raise error(f"{what} {_shown(value)} contains a lone surrogate; decode it as UTF-8 first.")
    return value


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
