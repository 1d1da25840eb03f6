"""What has happened, counted by the trail, one stretch of events after the other."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Case, ColumnElement, Float, Row, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import seconds_between
from session_router.events import EventName, SignalOutcome, StreamOutcome
from session_router.repository.measures import SETTLE_SECONDS, STREAM_SECONDS, Durations, Tally
from session_router.repository.sql import rows


async def read(conn: AsyncConnection, t: Tables, after: int, until: int) -> Tally:
    """Tally the events behind `after`, and up to `until`."""
    tally = Tally(until)
    found = await conn.execute(statement(t, after, until))
    for row in rows.readable(found, lambda row: row):
        _add(tally, row)
    return tally


def statement(t: Tables, after: int, until: int) -> Select[Any]:
    """One row for each type of agents, each outcome and each pair of bounds.

    An interrupt has no duration, and none of the bounds.
    """
    events = t.session_events.c
    is_stream = events.event == EventName.STREAM_FINISHED
    # A clock that was set back makes no duration negative.
    exact = seconds_between(events.started_at, events.occurred_at)
    seconds = case((exact > 0, exact), else_=0.0)
    bucket = case(
        (is_stream, _place_in(STREAM_SECONDS, seconds)), else_=_place_in(SETTLE_SECONDS, seconds)
    )
    groups = (
        events.event.label("event"),
        case((is_stream, events.agent_type)).label("agent_type"),
        events.outcome.label("outcome"),
        bucket.label("bucket"),
    )
    return (
        select(*groups, func.count().label("number"), func.sum(seconds, type_=Float).label("took"))
        .where(
            events.event_id > after,
            events.event_id <= until,
            events.event.in_(
                (
                    EventName.STREAM_FINISHED,
                    EventName.SIGNAL_SETTLED,
                    EventName.INTERRUPT_REQUESTED,
                )
            ),
        )
        .group_by("event", "agent_type", "outcome", "bucket")
    )


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
