"""`session-router events`: the whole story of a session id, or of all, also as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final

import typer

from session_router.cli import output
from session_router.cli.connection import opened_reports, opened_repository
from session_router.cli.exit_codes import UnknownSessionError
from session_router.cli.options import DatabaseUrl, Json, settings_of
from session_router.errors import DatabaseUnavailableError, InvalidValueError

if TYPE_CHECKING:
    from datetime import datetime

    from session_router.events import SessionEvent
    from session_router.reports.bounds import Moment
    from session_router.repository.base import SessionRepository
    from session_router.settings import Settings

_PAGE: Final = 1_000
_PAUSE_SEC: Final = 0.5
_COLUMNS: Final = ("time (UTC)", "event", "agent", "outcome", "took", "actor", "detail")
_STORY: Final = "agent, or who and why"


def events(
    session_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION_ID]",
            help="The session's id; left out, with --since or --follow, those of all.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Leave out what was earlier: a date or time (UTC, unless it says otherwise), or "
            "so long ago: 90s, 30m, 24h, 7d.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C."),
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Tell all that happened in a session.

    It comes from the audit trail, so it is there after the session has ended, too; all lives of
    the id are told. 'took' is the time since the session, the stream or the request
    began that the line ends. With --json one JSON document a line, with `duration_sec`.
    --follow misses nothing; without a session and --since it begins now.
    """
    from session_router.reports.bounds import parse_moment
    from session_router.session import check_session_id

    if session_id is None and since is None and not follow:
        raise InvalidValueError("name a session, or give --since or --follow for all sessions.")
    if since is None and session_id is None:
        since = "0s"
    asked = _Asked(
        None if session_id is None else check_session_id(session_id),
        None if since is None else parse_moment(since, "--since"),
        follow,
        as_json,
    )
    asyncio.run(_tell(settings_of(database_url), asked))


@dataclass(frozen=True)
class _Asked:
    """Whose events are told, from when on, whether it goes on, and how they are printed."""

    session_id: str | None
    since: Moment | None
    follow: bool
    as_json: bool


async def _tell(settings: Settings, asked: _Asked) -> None:
    after, since = 0, None
    if asked.since is not None:
        async with opened_reports(settings) as reports:
            after, since = await reports.position(asked.since)
    async with opened_repository(settings) as repository:
        is_told = False
        async for page in _pages(repository, asked, after):
            if told := [event for event in page if since is None or event.occurred_at >= since]:
                _show(told, asked, header=not is_told)
                is_told = True
    if not is_told:
        _nothing(asked.session_id, since)


def _nothing(session_id: str | None, since: datetime | None) -> None:
    if since is not None:
        output.note("nothing happened since then")
        return
    raise UnknownSessionError(
        f"nothing is known of a session {session_id!a}. Ids are told apart by case and blanks; "
        "'session-router sessions list' shows the live ones."
    )


def _show(page: list[SessionEvent], asked: _Asked, *, header: bool) -> None:
    if asked.as_json:
        for event in page:
            output.show_json(event.model_dump(mode="json"))
        return
    of_all = asked.session_id is None
    if output.is_watched():
        for day, events_of_day in groupby(page, key=_day):
            output.show_table(
                (*_of(of_all, "session"), "time (UTC)", "event", "outcome", "took", _STORY),
                ((*_of(of_all, event.session_id), *_told(event)) for event in events_of_day),
                flexible=("session", _STORY),
                title=day,
            )
    else:
        output.show_lines(
            (*_of(of_all, "session"), *_COLUMNS),
            ((*_of(of_all, event.session_id), *_line(event)) for event in page),
            header=header,
        )


def _of(of_all: bool, text: str) -> tuple[str, ...]:
    """The session's cell, where events of all sessions are told."""
    return (text,) if of_all else ()


async def _pages(
    repository: SessionRepository, asked: _Asked, after: int
) -> AsyncIterator[list[SessionEvent]]:
    """What there is; and then, where that is wanted, what comes."""
    while True:
        if asked.follow:
            page = await _tailed(repository, asked.session_id, after)
        else:  # told once, with all that is there
            page = await repository.list_events(
                asked.session_id, after=after, limit=_PAGE, tailing=False
            )
        if page:
            yield page
            after = page[-1].event_id
        elif asked.follow:
            await asyncio.sleep(_PAUSE_SEC)
        else:
            return


async def _tailed(
    repository: SessionRepository, session_id: str | None, after: int
) -> list[SessionEvent]:
    """What is closed behind an event; over an outage, too, which is told once."""
    is_noted = False
    while True:
        try:
            return await repository.list_events(session_id, after=after, limit=_PAGE)
        except DatabaseUnavailableError as error:
            if not is_noted:
                output.note(f"waiting: {error}")
                is_noted = True
            await asyncio.sleep(_PAUSE_SEC)


def _line(event: SessionEvent) -> tuple[str, ...]:
    return (
        output.moment(event.occurred_at),
        event.event,
        str(event.agent_id or ""),
        event.outcome or "",
        _took(event),
        event.actor or "",
        event.detail or "",
    )


def _told(event: SessionEvent) -> tuple[str, ...]:
    """The event in as few columns as it takes, so that a usual terminal holds it on one line."""
    about = " ".join(
        text for text in (str(event.agent_id or ""), event.actor and f"by {event.actor}") if text
    )
    story = ": ".join(text for text in (about, event.detail) if text)
    time_of_day = output.moment(event.occurred_at).split()[1]
    return (time_of_day, event.event, event.outcome or "", _took(event), story)


def _took(event: SessionEvent) -> str:
    return output.duration(event.occurred_at - event.started_at) if event.started_at else ""


def _day(event: SessionEvent) -> str:
    return output.moment(event.occurred_at).split()[0]
