"""Whether the trail is whole: the laws, the seals, and seals that were kept elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import laws, tail
from session_router.audit.chain import Chain, chain
from session_router.audit.keys import AuditKeys
from session_router.audit.laws import Violation
from session_router.audit.recorded_keys import altered_keys
from session_router.audit.seals import Seal, broken_seals, differing_seals, seals
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database.schema import Tables
from session_router.errors import InvalidValueError
from session_router.events import EventName


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what was found.

    Attributes:
        events: how many events there are.
        sealed_until: the newest sealed event; 0 where nothing is sealed, or the key is missing.
        seals: how many seals there are that hold; without the key, how many there are.
        checked: how many of these were compared with the events that they cover.
        unsealed: how many events are behind the newest seal.
        unsealed_since: when the oldest of these occurred.
        unchecked: seals of before that take an erasure key, where none is set.
        violations: the first ones of each law.
    """

    events: int
    sealed_until: int
    seals: int
    checked: int = 0
    unsealed: int = 0
    unsealed_since: datetime | None = None
    unchecked: list[Seal] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


async def verify(
    trail: Trail,
    keys: AuditKeys,
    kept: Sequence[Seal] = (),
    since: int = BEFORE_ALL,
    progress: Progress = silent,
) -> Verification:
    """Check the whole trail and the live tables.

    Each law is one statement, and each seal is compared in a transaction of its own, so that no
    snapshot grows old: what the laws say holds at every moment, and what is sealed does not change.

    Args:
        keys: none at all: the seals are not checked, but for kept ones.
        since: seals that end there or before are not compared with their events.

    Raises:
        InvalidSettingError: there are seals, and the key is another one than theirs.
        DatabaseError: the database failed it.
    """
    found = await _broken_laws(trail, since, progress)
    async with trail.snapshot() as conn:
        there = (
            await chain(trail, conn, keys) if keys.verifiers else Chain(await seals(trail, conn))
        )
        found += await _fewer_seals(conn, trail.tables, there) if keys.verifiers else []
        ends = [each.last_event_id for each in (there.line if keys.verifiers else there.made)]
        unsealed, unsealed_since = await tail.unsealed(
            conn, trail.tables, max(ends, default=BEFORE_ALL)
        )
        count = select(func.count()).select_from(trail.tables.session_events)
        events = (await conn.execute(count)).scalar_one()
    checked = [each for each in there.line if each.last_event_id > since]
    if keys.verifiers:
        found += [*there.faults, *await broken_seals(trail, keys, there, checked, progress)]
    found += differing_seals(there.made, kept)
    return Verification(
        events=events,
        sealed_until=there.line[-1].last_event_id if there.line else 0,
        seals=len(there.line if keys.verifiers else there.made),
        unchecked=there.unchecked,
        checked=len(checked),
        unsealed=unsealed,
        unsealed_since=unsealed_since,
        violations=found,
    )


async def last_verified(trail: Trail) -> int:
    """Up to which event the seals were found whole when they were checked last.

    Below all events where that was never, or where something was broken.
    """
    made = trail.tables.audit_verifications.c
    newest = (
        select(made.sealed_until, made.violations)
        .where(made.sealed_until > 0)
        .order_by(made.verification_id.desc())
        .limit(1)
    )
    async with trail.reading() as conn:
        row = (await conn.execute(newest)).one_or_none()
    return BEFORE_ALL if row is None or row.violations else int(row.sealed_until)


async def end_of_seal(trail: Trail, seal_id: int) -> int:
    """The last event that a seal covers; below all events for seal 0, which is before the first.

    Raises:
        InvalidValueError: there is no such seal.
    """
    t = trail.tables.audit_seals.c
    if seal_id == 0:
        return BEFORE_ALL
    async with trail.reading() as conn:
        end = await conn.execute(select(t.last_event_id).where(t.seal_id == seal_id))
        found = end.scalar_one_or_none()
    if found is None:
        raise InvalidValueError(
            f"there is no seal {seal_id}; 'session-router audit seals' lists them."
        )
    return int(found)


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


async def _broken_laws(trail: Trail, since: int, progress: Progress) -> list[Violation]:
    t = trail.tables
    found = []
    for number, law in enumerate((laws.law_1, laws.law_2, laws.law_3)):
        progress(f"law {number + 1}", number / 3)
        async with trail.reading() as conn:
            found += await law(conn, t)
    progress("laws", 1)
    async with trail.reading() as conn:
        found += await tail.times_set_back(conn, t, since)
    async with trail.snapshot() as conn:
        found += await _unrecorded_prunings(conn, t)
        found += await _unrecorded_erasures(conn, t)
        found += await tail.numbers_by_hand(trail, conn)
        found += await altered_keys(conn, t)
    return found


async def _fewer_seals(conn: AsyncConnection, t: Tables, there: Chain) -> list[Violation]:
    """Less is sealed than there was when the trail was verified once."""
    made = t.audit_verifications.c
    most = (
        select(made.verification_id, made.sealed_until)
        .where(made.sealed_until > max(there.sealed_until, 0))
        .order_by(made.sealed_until.desc())
        .limit(1)
    )
    return [
        Violation(
            "seal",
            "verification",
            str(row.verification_id),
            {"sealed then until": row.sealed_until, "now": max(there.sealed_until, 0)},
        )
        for row in await conn.execute(most)
    ]


async def _unrecorded_prunings(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """What was left of pruned stories tells of no more than the trail says was pruned."""
    before, since, events = t.pruned_stories.c, t.sealed_changes.c, t.session_events.c
    left = union_all(
        select(before.request_id, before.events),
        select(since.request_id, since.events).where(since.digest_after.is_(None)),
    ).subquery()
    statement = select(left.c.request_id, func.sum(left.c.events).label("events"))
    sums = (await conn.execute(statement.group_by(left.c.request_id))).all()
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


async def _unrecorded_erasures(conn: AsyncConnection, t: Tables) -> list[Violation]:
    """What stories were before their erasure tells of no other erasures than the trail has.

    Compared here: in the database it would take an index that nothing else needs.
    """
    change, events = t.sealed_changes.c, t.session_events.c
    told: set[tuple[UUID, UUID]] = set()
    gone: set[UUID] = set()
    for row in await conn.execute(
        select(change.session_uid, change.request_id, change.digest_after.is_(None).label("gone"))
    ):
        if row.gone:
            gone.add(row.session_uid)
        else:
            told.add((row.session_uid, row.request_id))
    if not told:
        return []
    recorded = await conn.execute(
        select(events.session_uid, events.request_id).where(
            events.event == EventName.SESSION_ERASED
        )
    )
    told -= {(row.session_uid, row.request_id) for row in recorded}
    return [
        Violation("erasure", "story", str(uid), {"not recorded": str(request_id)})
        for uid, request_id in sorted(told)
        if uid not in gone
    ][: laws.SHOWN]


def _events_in(detail: str | None) -> int:
    """How many events a `trail_pruned` tells of; one that was forged may tell anything."""
    try:
        told = json.loads(detail or "")["events"]
    except (ValueError, TypeError, KeyError):
        return 0
    return told if isinstance(told, int) else 0
