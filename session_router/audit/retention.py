"""Retention: whole stories that are over and old enough leave the trail, and their digests stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, distinct, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import salts, sealed
from session_router.audit.chain import Chain, chain, seals
from session_router.audit.changes import Story, remove_stories
from session_router.audit.kept_changes import Change, keep
from session_router.audit.keys import AuditKeys
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database.schema import Tables
from session_router.errors import InvalidSettingError, InvalidValueError
from session_router.events import EventName
from session_router.repository.sql import requests, workers

WINDOW: Final = 5_000
"""How many events one transaction looks through for the beginnings of stories."""

BATCH: Final = 1_000
"""How many stories it removes at the most."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed.

    Attributes:
        request_id: names the pruning in its `trail_pruned` events.
    """

    request_id: UUID
    stories: int
    events: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pruning would remove now.

    Attributes:
        oldest, newest: when the first and the last of these events occurred; None where there
            are none.
    """

    stories: int
    events: int
    oldest: datetime | None
    newest: datetime | None


async def plan(trail: Trail, before: datetime) -> Plan:
    """What `prune` would remove; nothing is written. Raises `DatabaseError`."""
    t = trail.tables
    start = t.session_events.alias("start").c
    of_story = t.session_events.alias("of_story").c
    same = and_(of_story.session_id == start.session_id, of_story.session_uid == start.session_uid)
    statement = select(
        func.count(distinct(start.session_uid)).label("stories"),
        func.count(of_story.event_id).label("events"),
        func.min(of_story.occurred_at).label("oldest"),
        func.max(of_story.occurred_at).label("newest"),
    ).where(*_is_over(t, start, before), same)
    async with trail.reading() as conn:
        found = (await conn.execute(statement)).one()
    return Plan(found.stories, found.events, found.oldest, found.newest)


def check_age(before: datetime, now: datetime, least_age: timedelta) -> None:
    """Refuse to prune what is younger than `least_age`.

    Raises:
        InvalidValueError: stories that end before `before` may be.
    """
    if least_age and before > now - least_age:
        raise InvalidValueError(
            f"{before:%Y-%m-%d %H:%M:%S} UTC is less than {least_age / _DAY:g} day(s) ago, and "
            "what is younger stays, as SESSION_ROUTER_PRUNE_LEAST_AGE_DAYS says; nothing was "
            "removed. Give an earlier time."
        )


async def prune(
    trail: Trail,
    before: datetime,
    keys: AuditKeys,
    actor: str | None = None,
    progress: Progress = silent,
) -> Pruned:
    """Remove every story that is over, and whose last event is older than `before`.

    A story is looked for from its beginning, a stretch of the trail a transaction, the oldest
    first. One that still lives, or has a signal that is not settled, stays. In the end the names
    of requests that were made before are forgotten, for the trail may not tell what they did, and
    the workers that were gone before.

    Raises:
        InvalidSettingError: a story was sealed, and the key for it is missing or another.
        DatabaseError: the database failed it; what was removed before is removed and recorded.
    """
    request_id, stories, events, after = uuid4(), 0, 0, BEFORE_ALL
    there: Chain | None = None
    async with trail.reading() as conn:
        newest = await trail.newest(conn)
    while True:
        async with trail.changing() as conn:
            end = await _end_of_window(conn, trail.tables, after, before)
            if end is None:
                await requests.forget_older(conn, trail.tables, before)
                await workers.forget_past(conn, trail.tables, before)
                return Pruned(request_id, stories, events)
            beginnings = await _over(conn, trail.tables, before, after, end)
            if len(beginnings) == BATCH:
                end = max(beginnings)
            if found := list(beginnings.values()):
                there = await _keep_what_was_sealed(trail, conn, found, keys, request_id, there)
                events += await remove_stories(conn, trail.tables, found, before, request_id, actor)
                await salts.remove(conn, trail.tables, [str(each.session_uid) for each in found])
                stories += len(found)
        progress("pruning", end / max(newest, 1))
        after = end


async def _end_of_window(
    conn: AsyncConnection, t: Tables, after: int, before: datetime
) -> int | None:
    """The last event to look at next; None where all that is left is too young."""
    events = t.session_events.c
    window = (
        select(events.event_id, events.occurred_at)
        .where(events.event_id > after)
        .order_by(events.event_id)
        .limit(WINDOW)
        .subquery()
    )
    row = (
        await conn.execute(
            select(
                func.max(window.c.event_id).label("last"),
                func.min(window.c.occurred_at).label("oldest"),
            )
        )
    ).one()
    return None if row.last is None or row.oldest >= before else row.last


async def _over(
    conn: AsyncConnection, t: Tables, before: datetime, after: int, until: int
) -> dict[int, Story]:
    """The stories that begin in a stretch of the trail, are over, and are old enough.

    By the number of their first event, `BATCH` at the most.

    One statement, so one moment: what is over then writes no more events. It has neither a live
    row nor a signal to be settled, and a life is never lived again.
    """
    start = t.session_events.alias("start").c
    statement = (
        select(start.event_id, start.session_id, start.session_uid)
        .where(start.event_id > after, start.event_id <= until, *_is_over(t, start, before))
        .order_by(start.event_id)
        .limit(BATCH)
    )
    return {
        row.event_id: Story(row.session_id, row.session_uid)
        for row in await conn.execute(statement)
    }


def _is_over(t: Tables, start: Any, before: datetime) -> list[ColumnElement[bool]]:
    """Whether an event begins a story that is over, and old enough."""
    other = t.session_events.alias("other").c
    lives = exists().where(
        t.sessions.c.session_id == start.session_id, t.sessions.c.session_uid == start.session_uid
    )
    is_younger = exists().where(
        other.session_id == start.session_id,
        other.session_uid == start.session_uid,
        other.occurred_at >= before,
    )
    signalled = select(t.interrupt_signals.c.session_uid)
    return [
        start.event == EventName.SESSION_STARTED,
        start.occurred_at < before,
        start.session_uid.not_in(signalled),
        ~lives,
        ~is_younger,
    ]


async def _keep_what_was_sealed(
    trail: Trail,
    conn: AsyncConnection,
    stories: Sequence[Story],
    keys: AuditKeys,
    request_id: UUID,
    known: Chain | None,
) -> Chain | None:
    """Write down what each story has in each range that was sealed with it.

    Returns:
        the seals, as they are told apart; None where there is no key, nor a seal.
    """
    t = trail.tables
    if not keys.verifiers:
        if not await seals(trail, conn):
            return None
        raise InvalidSettingError(
            "the trail is sealed, so a story that is pruned leaves its digest, signed; set "
            "SESSION_ROUTER_SEAL_KEY, or SESSION_ROUTER_ERASURE_KEY, to the key that the seals "
            "were made with."
        )
    there = await chain(trail, conn, keys, known)
    there.refuse_missing_keys()
    found = await sealed.of_stories(
        conn,
        t,
        there.line,
        keys,
        [story.session_id for story in stories],
        [story.session_uid for story in stories],
    )
    if found:
        left = [
            Change(each.seal_id, each.digest, UUID(uid), portion, None, request_id)
            for each, of_stories in found.items()
            for uid, portion in of_stories.items()
        ]
        await keep(conn, t, left, there.signer(keys))
    return there
