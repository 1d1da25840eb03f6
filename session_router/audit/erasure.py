"""Erasure on request: a session ends, and pseudonyms take the place of what could name somebody."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, bindparam, delete, distinct, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.chain import chain
from session_router.audit.changes import Erased, erase_events
from session_router.audit.trail import Trail
from session_router.database.schema import Tables
from session_router.errors import DatabaseError
from session_router.events import EventName
from session_router.pseudonyms import ErasureKey
from session_router.repository.changes import Stop
from session_router.repository.records import Requester
from session_router.repository.sql import endings, requests, rows

_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased.

    Attributes:
        session_id: as it was asked for.
        pseudonym: what stands for it in the trail now.
        request_id: names the erasure in its `session_erased` events.
        was_live: whether a live session was ended for it.
        lives: how many lives of the id were erased.
        events: how many events of theirs.
        signals: how many signals that are still to be settled.
    """

    session_id: str
    pseudonym: str
    request_id: UUID
    erased_at: datetime
    was_live: bool
    lives: int
    events: int
    signals: int


async def erase(
    trail: Trail, session_id: str, key: ErasureKey, actor: str | None = None
) -> Receipt | None:
    """Erase every life of a session id, in one transaction; None where nothing is known of it.

    A live session is ended first. Its workers stop their streams as after any end: signals name
    streams, and what is settled later is written under the pseudonym.

    Raises:
        InvalidSettingError: the trail was sealed with another key.
        DatabaseError: the database failed it; nothing was erased.
    """
    t, request_id = trail.tables, uuid4()
    async with trail.changing() as conn:
        await chain(trail, conn, key)  # with another key than the seals' they would be broken
        ended = await endings.end(conn, t, Stop(session_id, Requester(actor=actor)))
        await conn.execute(delete(t.early_stops).where(t.early_stops.c.session_id == session_id))
        await requests.forget(conn, t, session_id)
        # Whoever settles a signal holds its row: once we have it, their events are there to see.
        signals = await _erase_signals(conn, t, session_id, key)
        events = await _erase_events(conn, t, session_id, key, request_id, actor)
        if not events:
            return None
        pseudonym = key.pseudonym(session_id)
        return Receipt(
            session_id=session_id,
            pseudonym=pseudonym,
            request_id=request_id,
            erased_at=await rows.now(conn),
            was_live=ended is not None,
            lives=await _lives(conn, t, pseudonym, request_id),
            events=events,
            signals=signals,
        )


async def _erase_signals(conn: AsyncConnection, t: Tables, session_id: str, key: ErasureKey) -> int:
    signals = t.interrupt_signals
    found = await conn.execute(
        select(signals.c.signal_id, signals.c.agent_key)
        .where(signals.c.session_id == session_id, _is_over(t, session_id, signals.c.session_uid))
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


async def _erase_events(
    conn: AsyncConnection,
    t: Tables,
    session_id: str,
    key: ErasureKey,
    request_id: UUID,
    actor: str | None,
) -> int:
    events = t.session_events.c
    some = (
        select(t.session_events)
        .where(events.session_id == session_id, ~events.erased)
        .where(_is_over(t, session_id, events.session_uid))
        .order_by(events.event_id)
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
        changed = await erase_events(conn, t, erased, key.pseudonym(session_id), request_id, actor)
        if changed != len(erased):
            raise DatabaseError(
                f"the database erased {changed} of {len(erased)} events; nothing was written. See "
                "'session-router db check'."
            )
        total += changed
    return total


def _is_over(t: Tables, session_id: str, session_uid: Any) -> ColumnElement[bool]:
    """Not the life that somebody began since we ended the last one: that is another story."""
    lives = t.sessions.c
    return ~exists().where(lives.session_id == session_id, lives.session_uid == session_uid)


async def _lives(conn: AsyncConnection, t: Tables, pseudonym: str, request_id: UUID) -> int:
    events = t.session_events.c
    statement = select(func.count(distinct(events.session_uid))).where(
        events.session_id == pseudonym,
        events.request_id == request_id,
        events.event == EventName.SESSION_ERASED,
    )
    return int((await conn.execute(statement)).scalar_one())


def _pseudonym(value: str | None, key: ErasureKey) -> str | None:
    return None if value is None else key.pseudonym(value)
