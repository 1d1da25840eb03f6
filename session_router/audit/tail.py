"""What no seal proves: the tail, which is not sealed yet, and what cannot be where it stands."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.laws import SHOWN, Violation
from session_router.audit.trail import Trail
from session_router.database.schema import Tables
from session_router.database.types import seconds_between

MARGIN: Final = timedelta(minutes=5)
"""How much earlier than one numbered before it an event may have occurred.

The database takes an event whose time is off by a minute at the most, and numbers it then; the rest
is for clocks that are set.
"""


async def unsealed(
    conn: AsyncConnection, t: Tables, sealed_until: int
) -> tuple[int, datetime | None]:
    """How many events are behind the newest seal, and when the oldest of them occurred."""
    events = t.session_events.c
    behind = events.event_id > sealed_until
    first = select(events.occurred_at).where(behind).order_by(events.event_id).limit(1)
    count = (await conn.execute(select(func.count()).where(behind))).scalar_one()
    return count, (await conn.execute(first)).scalar_one_or_none()


async def numbers_by_hand(trail: Trail, conn: AsyncConnection) -> list[Violation]:
    """Events above the newest number that was given out: they are neither sealed nor exported."""
    events, last = trail.tables.session_events.c, await trail.last_number(conn)
    above = select(events.event_id).where(events.event_id > last).order_by(events.event_id)
    return [
        Violation("number", "event", str(event_id), {"newest number given out": last})
        for event_id in (await conn.execute(above.limit(SHOWN))).scalars()
    ]


async def times_set_back(conn: AsyncConnection, t: Tables, since: int) -> list[Violation]:
    """Events behind `since` that occurred earlier than one numbered before them, by the margin.

    They were put there by hand, or moved; or the database's clock was set back.
    """
    event = t.session_events.c
    before = select(event.occurred_at).where(event.event_id <= since)
    newest = before.order_by(event.occurred_at.desc()).limit(1)
    began_at = (await conn.execute(newest)).scalar_one_or_none()
    found = await conn.execute(_set_back(t, since, began_at))
    return [
        Violation(
            "time",
            "event",
            str(row.event_id),
            {
                "occurred": row.occurred_at.isoformat(),
                "one before it": max(row.latest, began_at or row.latest).isoformat(),
            },
        )
        for row in found
    ]


def _set_back(t: Tables, since: int, began_at: datetime | None) -> Select[Any]:
    event = t.session_events.c
    time = event.occurred_at.type
    latest = func.max(event.occurred_at, type_=time).over(order_by=event.event_id)
    each = (
        select(event.event_id, event.occurred_at, latest.label("latest"))
        .where(event.event_id > since)
        .subquery()
    )
    are_late = [seconds_between(each.c.occurred_at, each.c.latest)]
    if began_at is not None:
        are_late.append(seconds_between(each.c.occurred_at, literal(began_at, time)))
    by_much = or_(*(late > MARGIN.total_seconds() for late in are_late))
    return select(each).where(by_much).order_by(each.c.event_id).limit(SHOWN)
