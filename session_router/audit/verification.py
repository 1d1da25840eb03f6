"""Whether the trail is whole: the laws, the seals, and seals that were kept elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import laws
from session_router.audit.chain import chain
from session_router.audit.laws import SHOWN, Violation
from session_router.audit.recorded_keys import altered_keys
from session_router.audit.seals import Seal, broken_seals, differing_seals, seals
from session_router.audit.trail import Progress, Trail, silent
from session_router.database.schema import Tables
from session_router.errors import InvalidSettingError
from session_router.events import EventName
from session_router.pseudonyms import ErasureKey


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what was found.

    Attributes:
        events: how many events there are.
        sealed_until: the newest sealed event; 0 where nothing is sealed.
        seals: how many seals there are that hold.
        violations: the first ones of each law.
    """

    events: int
    sealed_until: int
    seals: int
    violations: list[Violation] = field(default_factory=list)


async def verify(
    trail: Trail,
    key: ErasureKey | None,
    kept: Sequence[Seal] = (),
    progress: Progress = silent,
) -> Verification:
    """Check the whole trail and the live tables, all as of one moment.

    Raises:
        InvalidSettingError: there are seals, and no key or another one than theirs.
        DatabaseError: the database failed it.
    """
    t = trail.tables
    async with trail.snapshot() as conn:
        made = await seals(trail, conn)
        if made and key is None:
            raise InvalidSettingError(
                f"the trail has {len(made)} seal(s); set SESSION_ROUTER_ERASURE_KEY to the key "
                "that they were made with."
            )
        found = []
        for number, law in enumerate((laws.law_1, laws.law_2, laws.law_3)):
            progress(f"law {number + 1}", number / 3)
            found += await law(conn, t)
        progress("laws", 1)
        found += await _unrecorded_prunings(conn, t)
        found += await _numbers_by_hand(trail, conn)
        found += await altered_keys(conn, t)
        line: list[Seal] = []
        if key is not None:
            there = await chain(trail, conn, key)
            line = there.line
            found += await broken_seals(trail, conn, key, there, progress)
        found += differing_seals(made, kept)
        count = select(func.count()).select_from(t.session_events)
        events = (await conn.execute(count)).scalar_one()
    return Verification(events, line[-1].last_event_id if line else 0, len(line), found)


async def record(trail: Trail, found: Verification, actor: str | None) -> None:
    """Record in the database that the trail was verified, and what came of it.

    Raises:
        DatabaseError: it cannot be written, as on a standby, or by a role that may not.
    """
    async with trail.changing() as conn:
        await conn.execute(
            insert(trail.tables.audit_verifications).values(
                events=found.events,
                sealed_until=found.sealed_until,
                violations=len(found.violations),
                actor=actor,
            )
        )


async def _numbers_by_hand(trail: Trail, conn: AsyncConnection) -> list[Violation]:
    """Events above the newest number that was given out: they are neither sealed nor exported."""
    events, last = trail.tables.session_events.c, await trail.last_number(conn)
    above = select(events.event_id).where(events.event_id > last).order_by(events.event_id)
    return [
        Violation("number", "event", str(event_id), {"newest number given out": last})
        for event_id in (await conn.execute(above.limit(SHOWN))).scalars()
    ]


async def _unrecorded_prunings(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """What was left of pruned stories tells of no more than the trail says was pruned."""
    left, events = t.pruned_stories.c, t.session_events.c
    statement = select(left.request_id, func.sum(left.events).label("events"))
    sums = (await conn.execute(statement.group_by(left.request_id))).all()
    if not sums:
        return []
    told: dict[UUID, int] = {}
    pruned = select(events.request_id, events.detail).where(
        events.session_id == "", events.event == EventName.TRAIL_PRUNED
    )
    for row in await conn.execute(pruned):
        told[row.request_id] = told.get(row.request_id, 0) + _events_in(row.detail)
    return [
        Violation(
            "pruning",
            "request",
            str(row.request_id),
            {"left of": int(row.events), "recorded": told.get(row.request_id, 0)},
        )
        for row in sums
        if row.events > told.get(row.request_id, 0)
    ]


def _events_in(detail: str | None) -> int:
    """How many events a `trail_pruned` tells of; one that was forged may tell anything."""
    try:
        told = json.loads(detail or "")["events"]
    except (ValueError, TypeError, KeyError):
        return 0
    return told if isinstance(told, int) else 0
