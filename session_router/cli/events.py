"""`session-router events`: the whole story of a session id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from session_router.cli import output
from session_router.cli.connection import opened_repository
from session_router.cli.exit_codes import UnknownSessionError
from session_router.cli.options import DatabaseUrl, Json, SessionIdArgument, settings_of

if TYPE_CHECKING:
    from session_router.events import SessionEvent
    from session_router.repository.base import SessionRepository
    from session_router.settings import Settings

_PAGE: Final = 1_000
_COLUMNS: Final = ("time (UTC)", "event", "agent", "outcome", "took", "actor", "detail")
_STORY: Final = "agent, or who and why"


def events(
    session_id: SessionIdArgument, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Tell all that happened in a session.

    It comes from the audit trail, so it is there after the session has ended, too; all lives of
    the id are told. 'took' is the time since the session, the stream or the request
    began that the line ends. With --json one JSON document a line, with `duration_sec`.
    """
    from session_router.session import check_session_id

    asyncio.run(_tell(settings_of(database_url), check_session_id(session_id), as_json))


async def _tell(settings: Settings, session_id: str, as_json: bool) -> None:
    async with opened_repository(settings) as repository:
        is_told = False
        async for page in _pages(repository, session_id):
            if as_json:
                for event in page:
                    output.show_json(event.model_dump(mode="json"))
            else:
                _show_page(page, header=not is_told)
            is_told = True
    if not is_told:
        raise UnknownSessionError(
            f"nothing is known of a session {session_id!a}. Ids are told apart by case and blanks; "
            "'session-router sessions list' shows the live ones."
        )


def _show_page(page: list[SessionEvent], *, header: bool) -> None:
    if output.is_watched():
        for day, events_of_day in groupby(page, key=_day):
            output.show_table(
                ("time (UTC)", "event", "outcome", "took", _STORY),
                map(_told, events_of_day),
                flexible=(_STORY,),
                title=day,
            )
    else:
        output.show_lines(_COLUMNS, map(_line, page), header=header)


async def _pages(
    repository: SessionRepository, session_id: str
) -> AsyncIterator[list[SessionEvent]]:
    after = 0
    # Told once, with all that is there: a story that nobody goes on reading from its end.
    while page := await repository.list_events(session_id, after=after, limit=_PAGE, tailing=False):
        yield page
        after = page[-1].event_id


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
