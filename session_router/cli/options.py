"""The options that many commands share, and the settings that they lead to."""

from __future__ import annotations

import getpass
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from session_router.checks import as_uuid
from session_router.errors import InvalidValueError

if TYPE_CHECKING:
    from session_router.database.migration.target import Target
    from session_router.settings import Settings


@dataclass
class Invocation:
    """What a call of the program has told so far; the context's object.

    Attributes:
        as_json: whether errors, too, are wanted as JSON.
    """

    as_json: bool = False


def _remember_json(ctx: typer.Context, as_json: bool) -> bool:
    if as_json:
        ctx.ensure_object(Invocation).as_json = True
    return as_json


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="postgresql://user:password@host/database or sqlite:///path/to/file.db. Left out: "
        "SESSION_ROUTER_DATABASE_URL, or else sqlite:///session_router.db in this folder.",
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_remember_json,
        help="Print JSON for machines; errors, too, on stderr.",
    ),
]
SessionIdArgument = Annotated[
    str, typer.Argument(metavar="SESSION_ID", help="The session's id.", show_default=False)
]
Actor = Annotated[
    str | None,
    typer.Option(help="Who asks, for the audit trail.", show_default="your login name"),
]
Reason = Annotated[str | None, typer.Option(help="Why, for the audit trail.", show_default=False)]


AgentType = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE", help="Only where an agent of this type streams.", show_default=False
    ),
]
WorkerId = Annotated[
    str | None,
    typer.Option(
        metavar="WORKER_ID",
        help="Only where an agent streams in this worker; see 'workers list'.",
        show_default=False,
    ),
]

OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", metavar="OWNER", help="Only this owner's.", show_default=False),
]

_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)


def duration_of(text: str | None, option: str) -> timedelta | None:
    """A duration that was given on the command line, such as 90s, 10m, 2h or 1d.

    Raises:
        InvalidValueError: it is none, or of no length.
    """
    if text is None:
        return None
    given = _DURATION.fullmatch(text)
    with suppress(OverflowError):
        if given and (duration := timedelta(**{_UNITS[given[2]]: float(given[1])})):
            return duration
    raise InvalidValueError(f"{option} {text!a} is no duration; give one such as 90s, 10m, 2h, 1d.")


def worker_of(text: str | None) -> UUID | None:
    """A worker's id that was given on the command line.

    Raises:
        InvalidValueError: it is no UUID.
    """
    return None if text is None else as_uuid(text, "--worker")


def settings_of(database_url: str | None, **given: Any) -> Settings:
    """The environment's settings, with what was given on the command line put over them.

    Raises:
        InvalidSettingError: a value is out of its range.
    """
    from session_router.settings import Settings

    options = {"database_url": database_url, **given}
    return Settings(**{name: value for name, value in options.items() if value is not None})


def target_of(settings: Settings) -> Target:
    """The database that the settings name, for migrations."""
    from session_router.database.migration.target import Target

    return Target(settings.database_url.get_secret_value(), settings.database_schema)


def actor_or_login(given: str | None) -> str | None:
    """Who asks; a login name that the machine cannot tell is no reason to refuse."""
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def moment_of(text: str | None, option: str) -> datetime | None:
    """A time that was given on the command line; without a zone it is UTC.

    Raises:
        InvalidValueError: it is no time.
    """
    from session_router.reports.bounds import parse_time

    return None if text is None else parse_time(text, option)
