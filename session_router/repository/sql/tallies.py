"""What has happened, counted by the trail, one stretch of events after the other."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Case, ColumnElement, Double, Row, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import one_of, seconds_between
from session_router.events import EventName, SignalOutcome, StreamOutcome
from session_router.repository.measures import SETTLE_SECONDS, STREAM_SECONDS, Durations, Tally
from session_router.repository.sql import rows

_TALLIED: Final = (
    EventName.STREAM_FINISHED,
    EventName.SIGNAL_SETTLED,
    EventName.INTERRUPT_REQUESTED,
)


async def read(conn: AsyncConnection, t: Tables, after: int, until: int) -> Tally:
    """Tally the events behind `after`, and up to `until`."""
    tally = Tally(until)
    found = await conn.execute(statement(t, after, until))
    for row in rows.readable(found, lambda row: row):
        _add(tally, row)
    return tally


def statement(t: Tables, after: int, until: int) -> Select[Any]:
    """One row for each event, type of agents, outcome and pair of bounds.

    An interrupt has no duration, and none of the bounds.
    """
    events = t.session_events.c
    told = (
        select(
            events.event,
            events.agent_type,
            events.outcome,
            seconds_between(events.started_at, events.occurred_at).label("seconds"),
        )
        .where(events.event_id > after, events.event_id <= until, one_of(events.event, _TALLIED))
        .offset(0)  # keeps the planner from computing the seconds anew for each bound
        .subquery("told")
    )
    seconds = told.c.seconds
    bucket = case(
        (told.c.event == EventName.STREAM_FINISHED, _place_in(STREAM_SECONDS, seconds)),
        else_=_place_in(SETTLE_SECONDS, seconds),
    )
    groups = (told.c.event, told.c.agent_type, told.c.outcome, bucket.label("bucket"))
    # A clock that was set back makes no duration negative.
    took = func.sum(case((seconds > 0, seconds), else_=0.0), type_=Double).label("took")
    return select(*groups, func.count().label("number"), took).group_by(*groups)


def _place_in(bounds: Sequence[float], seconds: ColumnElement[float]) -> Case[int]:
    return case(
        *(((seconds <= bound), place) for place, bound in enumerate(bounds)), else_=len(bounds)
    )


def _add(tally: Tally, row: Row[Any]) -> None:
    match row.event:
        case EventName.STREAM_FINISHED:
            _count(tally.stream(str(row.agent_type), StreamOutcome(row.outcome)), row)
        case EventName.SIGNAL_SETTLED:
            _count(tally.signal(SignalOutcome(row.outcome)), row)
        case _:
            tally.interrupts += row.number


def _count(durations: Durations, row: Row[Any]) -> None:
    durations.numbers[row.bucket] += row.number
    durations.seconds += row.took
