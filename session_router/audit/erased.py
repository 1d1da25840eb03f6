"""What an erasure changes: events, signals, deliveries, and what seals tell of these."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import salts, sealed
from session_router.audit.chain import Chain
from session_router.audit.changes import Erased, erase_events
from session_router.audit.digests import line_of, lines_of, values_of
from session_router.audit.kept_changes import Change, keep
from session_router.audit.keys import AuditKeys
from session_router.database.schema import Tables
from session_router.database.types import one_of
from session_router.errors import DatabaseError
from session_router.pseudonyms import ErasureKey

_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be erased.

    Attributes:
        owner: whose lives of the id; None: anybody's.
        before: only lives that began earlier; None: all.
        lives: these, where there is an owner, or a time.
    """

    session_id: str
    owner: str | None
    request_id: UUID
    actor: str | None
    before: datetime | None = None
    lives: Sequence[UUID] = ()

    @property
    def is_of_some(self) -> bool:
        """Whether it is of some lives of the id only."""
        return self.owner is not None or self.before is not None

    def of_lives(self, t: Tables, session_uid: ColumnElement[UUID]) -> ColumnElement[bool]:
        """Lives that are over, lest that is erased which somebody began after our end."""
        lives = t.sessions.c
        is_over = ~exists().where(
            lives.session_id == self.session_id, lives.session_uid == session_uid
        )
        events = t.session_events.alias("erased").c
        are_erased = select(events.session_uid).where(
            events.session_id == self.session_id, events.erased
        )
        # What has a pseudonym is not erased again: whoever names one gets no other.
        chosen = and_(is_over, session_uid.not_in(are_erased))
        return and_(chosen, one_of(session_uid, self.lives)) if self.is_of_some else chosen


async def in_signals(conn: AsyncConnection, t: Tables, asked: Asked, key: ErasureKey) -> int:
    signals, session_id = t.interrupt_signals, asked.session_id
    found = await conn.execute(
        select(signals.c.signal_id, signals.c.agent_key)
        .where(signals.c.session_id == session_id, asked.of_lives(t, signals.c.session_uid))
        .order_by(signals.c.signal_id)
        .with_for_update()
    )
    fresh = [
        {"_signal_id": row.signal_id, "_agent_key": key.pseudonym(row.agent_key)} for row in found
    ]
    if fresh:
        await conn.execute(
            update(signals)
            .where(signals.c.signal_id == bindparam("_signal_id"))
            .values(session_id=key.pseudonym(session_id), agent_key=bindparam("_agent_key")),
            fresh,
        )
    return len(fresh)


async def in_deliveries(conn: AsyncConnection, t: Tables, asked: Asked, key: ErasureKey) -> None:
    """What hooks are owed of these lives; that their events tell."""
    owed, events = t.hook_deliveries, t.session_events.c
    of_these = select(events.event_id).where(
        events.session_id == asked.session_id, asked.of_lives(t, events.session_uid)
    )
    await conn.execute(
        update(owed)
        .where(owed.c.session_id == asked.session_id, owed.c.event_id.in_(of_these))
        .values(session_id=key.pseudonym(asked.session_id))
    )


async def in_trail(
    conn: AsyncConnection, t: Tables, asked: Asked, keys: AuditKeys, there: Chain
) -> int:
    """Erase events, and keep what they were and are in the ranges that they were sealed in."""
    key, line = keys.pseudonyms, there.line
    uids = await _unerased_lives(conn, t, asked)
    names = [asked.session_id, key.pseudonym(asked.session_id)]
    newest = (await conn.execute(select(func.max(t.session_events.c.event_id)))).scalar_one() or 0
    chosen = sealed.of(t, names, uids, newest)
    lines = await lines_of(conn, t, *chosen)
    before = await sealed.of_stories(conn, t, line, keys, names, uids, lines)
    events = await _in_events(conn, t, asked, key)
    erased = await lines_of(conn, t, *chosen)
    # What is signed below is what was sealed, but for the names, whatever triggers there are.
    if erased != [_erased(each, asked.session_id, key) for each in lines]:
        raise DatabaseError(
            "the database wrote others than the pseudonyms that it was given, so nothing was "
            "erased. See which triggers 'session_events' has, and 'session-router db check'."
        )
    await salts.replace(conn, t, [str(uid) for uid in uids])
    after = await sealed.of_stories(conn, t, line, keys, names, uids, erased)
    changed = [
        Change(each.seal_id, each.digest, UUID(uid), was, after[each][uid].digest, asked.request_id)
        for each, of_stories in before.items()
        for uid, was in of_stories.items()
        if was != after[each][uid]
    ]
    if changed:
        await keep(conn, t, changed, there.signer(keys))
    return events


def _erased(line: bytes, session_id: str, key: ErasureKey) -> bytes:
    """The line of an event after its erasure, from the one before."""
    values = values_of(line)
    if values["session_id"] != session_id or values["erased"] == "t":
        return line
    names = ("session_id", "agent_key", "actor", "detail")
    return line_of(
        values | {name: _pseudonym(values[name], key) for name in names} | {"erased": "t"}
    )


async def _unerased_lives(conn: AsyncConnection, t: Tables, asked: Asked) -> list[UUID]:
    """The lives of it that are over, and have events with names."""
    events = t.session_events.c
    statement = select(events.session_uid).distinct().where(*_with_names(t, asked))
    return list((await conn.execute(statement)).scalars())


def _with_names(t: Tables, asked: Asked) -> tuple[ColumnElement[bool], ...]:
    """The events of these lives that no pseudonyms stand in."""
    events = t.session_events.c
    is_named = and_(events.session_id == asked.session_id, ~events.erased)
    return is_named, asked.of_lives(t, events.session_uid)


async def _in_events(conn: AsyncConnection, t: Tables, asked: Asked, key: ErasureKey) -> int:
    some = (
        select(t.session_events)
        .where(*_with_names(t, asked))
        .order_by(t.session_events.c.event_id)
        .limit(_BATCH)
    )
    total = 0
    while found := (await conn.execute(some)).all():
        erased = [
            Erased(
                event_id=row.event_id,
                session_uid=row.session_uid,
                agent_key=_pseudonym(row.agent_key, key),
                actor=_pseudonym(row.actor, key),
                detail=_pseudonym(row.detail, key),
            )
            for row in found
        ]
        changed = await erase_events(
            conn, t, erased, key.pseudonym(asked.session_id), asked.request_id, asked.actor
        )
        if changed != len(erased):
            raise DatabaseError(
                f"the database erased {changed} of {len(erased)} events; nothing was written. See "
                "'session-router db check'."
            )
        total += changed
    return total


def _pseudonym(value: str | None, key: ErasureKey) -> str | None:
    return None if value is None else key.pseudonym(value)
