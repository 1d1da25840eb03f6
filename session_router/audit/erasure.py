"""Erasure on request: a session ends, and pseudonyms take the place of what could name somebody."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    distinct,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.chain import chain
from session_router.audit.changes import Erased, erase_events
from session_router.audit.receipts import (
    OwnerReceipt,
    Receipt,
    beginnings,
    check_key,
)
from session_router.audit.trail import Trail
from session_router.database.schema import Tables
from session_router.database.types import one_of
from session_router.errors import DatabaseError
from session_router.events import EventName
from session_router.pseudonyms import ErasureKey
from session_router.repository.changes import Stop
from session_router.repository.records import Requester
from session_router.repository.sql import endings, requests, rows, sessions

_BATCH: Final = 1_000


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
    return await _erase(trail, _Asked(session_id, None, uuid4(), actor), key)


async def erase_owner(
    trail: Trail, owner: str, key: ErasureKey, actor: str | None = None
) -> OwnerReceipt | None:
    """Erase all lives of sessions that were an owner's, each id in a transaction of its own.

    Lives of the same ids that were other owners' stay. Cut short, it goes on where it was when it
    is asked for again, with a receipt of the rest. Raises as `erase`, which see; keys that were
    made for the owner, and the record of them, keep its name.
    """
    return await _erase_owner(trail, _Asked("", owner, uuid4(), actor), key)


async def erase_again(
    trail: Trail, receipt: Receipt | OwnerReceipt, key: ErasureKey, actor: str | None = None
) -> Receipt | OwnerReceipt | None:
    """Erase what a receipt is of once more, under its request, as after the restore of a backup.

    Lives that began after that erasure stay, be they over or not.

    Returns:
        what was erased now; None where nothing of it has come back.

    Raises:
        InvalidSettingError: the erasure, or the seals, were made with another key.
        DatabaseError: the database failed it.
    """
    check_key(receipt, key)
    asked = _Asked("", None, receipt.request_id, actor, before=receipt.erased_at)
    if isinstance(receipt, OwnerReceipt):
        return await _erase_owner(trail, replace(asked, owner=receipt.owner), key)
    return await _erase(trail, replace(asked, session_id=receipt.session_id), key)


@dataclass(frozen=True, slots=True)
class _Asked:
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
        return and_(is_over, one_of(session_uid, self.lives)) if self.is_of_some else is_over


async def _erase_owner(trail: Trail, asked: _Asked, key: ErasureKey) -> OwnerReceipt | None:
    assert asked.owner is not None
    receipts, after = [], ""
    while ids := await _ids_of(trail, asked, after):
        for session_id in ids:
            receipt = await _erase(trail, replace(asked, session_id=session_id), key)
            receipts += [receipt] if receipt is not None else []
        after = ids[-1]
    if not receipts:
        return None
    return OwnerReceipt(
        owner=asked.owner,
        pseudonym=key.pseudonym(asked.owner),
        request_id=asked.request_id,
        erased_at=receipts[-1].erased_at,
        sessions=len({receipt.session_id for receipt in receipts}),
        ended=sum(receipt.was_live for receipt in receipts),
        lives=sum(receipt.lives for receipt in receipts),
        events=sum(receipt.events for receipt in receipts),
        signals=sum(receipt.signals for receipt in receipts),
    )


async def _ids_of(trail: Trail, asked: _Asked, after: str) -> list[str]:
    """Session ids that have lives of an owner's, live ones included, from behind `after`."""
    started = trail.tables.session_events.c
    statement = (
        select(started.session_id)
        .distinct()
        .where(*beginnings(trail.tables, asked.owner, asked.before), started.session_id > after)
        .order_by(started.session_id)
        .limit(_BATCH)
    )
    async with trail.reading() as conn:
        return list((await conn.execute(statement)).scalars())


async def _lives_of(conn: AsyncConnection, t: Tables, asked: _Asked) -> Sequence[UUID]:
    """Told before the first event is erased: then nothing tells any more whose a life was."""
    if not asked.is_of_some:
        return ()
    started = t.session_events.c
    statement = select(started.session_uid).where(
        started.session_id == asked.session_id, *beginnings(t, asked.owner, asked.before)
    )
    return (await conn.execute(statement)).scalars().all()


async def _end(conn: AsyncConnection, t: Tables, asked: _Asked) -> bool:
    """End what lives of it; returns whether something did."""
    stop = Stop(asked.session_id, Requester(actor=asked.actor), owner=asked.owner)
    if asked.before is not None:
        live = await sessions.lock_for(conn, t, stop)
        if live is None or live.start_time >= asked.before:
            return False
    return await endings.end(conn, t, stop) is not None


async def _erase(trail: Trail, asked: _Asked, key: ErasureKey) -> Receipt | None:
    t, session_id = trail.tables, asked.session_id
    async with trail.changing() as conn:
        await chain(trail, conn, key)  # with another key than the seals' they would be broken
        was_live = await _end(conn, t, asked)
        asked = replace(asked, lives=await _lives_of(conn, t, asked))
        await conn.execute(delete(t.early_stops).where(t.early_stops.c.session_id == session_id))
        is_erased = asked.of_lives(t, t.session_events.c.session_uid)
        await requests.forget(conn, t, session_id, is_erased)
        # Whoever settles a signal holds its row: once we have it, their events are there to see.
        signals = await _erase_signals(conn, t, asked, key)
        await _erase_deliveries(conn, t, asked, key)
        events = await _erase_events(conn, t, asked, key)
        if not events:
            return None
        pseudonym = key.pseudonym(session_id)
        return Receipt(
            session_id=session_id,
            pseudonym=pseudonym,
            request_id=asked.request_id,
            erased_at=await rows.now(conn),
            was_live=was_live,
            lives=await _lives(conn, t, pseudonym, asked.request_id),
            events=events,
            signals=signals,
        )


async def _erase_signals(conn: AsyncConnection, t: Tables, asked: _Asked, key: ErasureKey) -> int:
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


async def _erase_deliveries(
    conn: AsyncConnection, t: Tables, asked: _Asked, key: ErasureKey
) -> None:
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


async def _erase_events(conn: AsyncConnection, t: Tables, asked: _Asked, key: ErasureKey) -> int:
    events, session_id = t.session_events.c, asked.session_id
    some = (
        select(t.session_events)
        .where(events.session_id == session_id, ~events.erased)
        .where(asked.of_lives(t, events.session_uid))
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
        changed = await erase_events(
            conn, t, erased, key.pseudonym(session_id), asked.request_id, asked.actor
        )
        if changed != len(erased):
            raise DatabaseError(
                f"the database erased {changed} of {len(erased)} events; nothing was written. See "
                "'session-router db check'."
            )
        total += changed
    return total


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
