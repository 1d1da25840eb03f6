"""A session's story, life by life, with what each event's length is of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from session_router.events import EventName, SessionEvent

_ENDS = (EventName.SESSION_ENDED, EventName.SESSION_EXPIRED, EventName.SESSION_REPLACED)


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and the bar that shows when what it ends went on.

    Attributes:
        left, width: in percent of the events of the life that are shown.
    """

    event: SessionEvent
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a session id, as far as its events are shown.

    Attributes:
        owner: None where nobody's in particular, or where the beginning is not shown.
        started_at: None where that is not known from the events that are shown.
        end: the event that ended it; None where it goes on, or went on then.
    """

    session_uid: UUID
    owner: str | None
    started_at: datetime | None
    end: SessionEvent | None
    story: list[Told]


def lives_of(events: Sequence[SessionEvent]) -> list[Life]:
    """The lives in which events happened, the newest first, each in the order of its events."""
    return [_life(uid, [*those]) for uid, those in groupby(events, _uid)][::-1]


def _uid(event: SessionEvent) -> UUID:
    return event.session_uid


def _life(uid: UUID, events: Sequence[SessionEvent]) -> Life:
    begin = next((e for e in events if e.event is EventName.SESSION_STARTED), None)
    end = next((e for e in events if e.event in _ENDS), None)
    started_at = begin.occurred_at if begin else end.started_at if end else None
    first = min(event.started_at or event.occurred_at for event in events)
    whole = max(event.occurred_at for event in events) - first
    story = [_told(event, first, whole) for event in events]
    return Life(uid, begin.detail if begin else None, started_at, end, story)


def _told(event: SessionEvent, first: datetime, whole: timedelta) -> Told:
    if event.started_at is None or not whole:
        return Told(event, 0, 0)
    left = 100 * ((event.started_at - first) / whole)
    width = 100 * ((event.occurred_at - event.started_at) / whole)
    return Told(event, round(left, 2), round(max(width, 0), 2))
