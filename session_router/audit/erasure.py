"""Erasure on request: a session ends, and pseudonyms take the place of what could name somebody."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import (
    delete,
    distinct,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import erased
from session_router.audit.chain import Chain, chain
from session_router.audit.erased import Asked
from session_router.audit.keys import AuditKeys
from session_router.audit.receipts import (
    OwnerReceipt,
    Receipt,
    beginnings,
    key_of,
)
from session_router.audit.trail import Trail
from session_router.database.schema import Tables
from session_router.events import EventName
from session_router.repository.changes import Stop
from session_router.repository.records import Requester
from session_router.repository.sql import endings, requests, rows, sessions

_BATCH: Final = 1_000


async def erase(
    trail: Trail, session_id: str, keys: AuditKeys, actor: str | None = None
) -> Receipt | None:
    """Erase every life of a session id, in one transaction; None where nothing is known of it.

    A live session is ended first. Its workers stop their streams as after any end: signals name
    streams, and what is settled later is written under the pseudonym.

    Raises:
        InvalidSettingError: the trail was sealed with another key.
        DatabaseError: the database failed it; nothing was erased.
    """
    return await _erase(trail, Asked(session_id, None, uuid4(), actor), keys)


async def erase_owner(
    trail: Trail, owner: str, keys: AuditKeys, actor: str | None = None
) -> OwnerReceipt | None:
    """Erase all lives of sessions that were an owner's, each id in a transaction of its own.

    Lives of the same ids that were other owners' stay. Cut short, it goes on where it was when it
    is asked for again, with a receipt of the rest. Raises as `erase`, which see; keys that were
    made for the owner, and the record of them, keep its name.
    """
    return await _erase_owner(trail, Asked("", owner, uuid4(), actor), keys)


async def erase_again(
    trail: Trail, receipt: Receipt | OwnerReceipt, keys: AuditKeys, actor: str | None = None
) -> Receipt | OwnerReceipt | None:
    """Erase what a receipt is of once more, under its request, as after the restore of a backup.

    Lives that began after that erasure stay, be they over or not.

    Returns:
        what was erased now; None where nothing of it has come back.

    Raises:
        InvalidSettingError: the erasure, or the seals, were made with another key.
        DatabaseError: the database failed it.
    """
    key = key_of(receipt, keys)
    keys = replace(
        keys, erasure=key, former=[each for each in keys.erasure_keys if each is not key]
    )
    asked = Asked("", None, receipt.request_id, actor, before=receipt.erased_at)
    if isinstance(receipt, OwnerReceipt):
        return await _erase_owner(trail, replace(asked, owner=receipt.owner), keys)
    return await _erase(trail, replace(asked, session_id=receipt.session_id), keys)


async def _erase_owner(trail: Trail, asked: Asked, keys: AuditKeys) -> OwnerReceipt | None:
    assert asked.owner is not None
    receipts, after = [], ""
    there: Chain | None = None
    while ids := await _ids_of(trail, asked, after):
        for session_id in ids:
            of_id = replace(asked, session_id=session_id)
            receipt, there = await _erase_of_id(trail, of_id, keys, there)
            receipts += [receipt] if receipt is not None else []
        after = ids[-1]
    if not receipts:
        return None
    return OwnerReceipt(
        owner=asked.owner,
        pseudonym=keys.pseudonyms.pseudonym(asked.owner),
        request_id=asked.request_id,
        erased_at=receipts[-1].erased_at,
        sessions=len({receipt.session_id for receipt in receipts}),
        ended=sum(receipt.was_live for receipt in receipts),
        lives=sum(receipt.lives for receipt in receipts),
        events=sum(receipt.events for receipt in receipts),
        signals=sum(receipt.signals for receipt in receipts),
    )


async def _ids_of(trail: Trail, asked: Asked, after: str) -> list[str]:
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


async def _lives_of(conn: AsyncConnection, t: Tables, asked: Asked) -> Sequence[UUID]:
    """Told before the first event is erased: then nothing tells any more whose a life was."""
    if not asked.is_of_some:
        return ()
    started = t.session_events.c
    statement = select(started.session_uid).where(
        started.session_id == asked.session_id, *beginnings(t, asked.owner, asked.before)
    )
    return (await conn.execute(statement)).scalars().all()


async def _end(conn: AsyncConnection, t: Tables, asked: Asked) -> bool:
    """End what lives of it; returns whether something did."""
    stop = Stop(asked.session_id, Requester(actor=asked.actor), owner=asked.owner)
    if asked.before is not None:
        live = await sessions.lock_for(conn, t, stop)
        if live is None or live.start_time >= asked.before:
            return False
    return await endings.end(conn, t, stop) is not None


async def _erase(trail: Trail, asked: Asked, keys: AuditKeys) -> Receipt | None:
    receipt, _ = await _erase_of_id(trail, asked, keys, None)
    return receipt


async def _erase_of_id(
    trail: Trail, asked: Asked, keys: AuditKeys, known: Chain | None
) -> tuple[Receipt | None, Chain]:
    """Erase one id; returns the seals, too, as they are told apart."""
    t, session_id, key = trail.tables, asked.session_id, keys.pseudonyms
    async with trail.changing() as conn:
        there = await chain(trail, conn, keys, known)
        there.refuse_missing_keys()
        was_live = await _end(conn, t, asked)
        asked = replace(asked, lives=await _lives_of(conn, t, asked))
        await conn.execute(delete(t.early_stops).where(t.early_stops.c.session_id == session_id))
        is_erased = asked.of_lives(t, t.session_events.c.session_uid)
        await requests.forget(conn, t, session_id, is_erased)
        # Whoever settles a signal holds its row: once we have it, their events are there to see.
        signals = await erased.in_signals(conn, t, asked, key)
        await erased.in_deliveries(conn, t, asked, key)
        events = await erased.in_trail(conn, t, asked, keys, there)
        if not events:
            return None, there
        pseudonym = key.pseudonym(session_id)
        receipt = Receipt(
            session_id=session_id,
            pseudonym=pseudonym,
            request_id=asked.request_id,
            erased_at=await rows.now(conn),
            was_live=was_live,
            lives=await _lives(conn, t, pseudonym, asked.request_id),
            events=events,
            signals=signals,
        )
        return receipt, there


async def _lives(conn: AsyncConnection, t: Tables, pseudonym: str, request_id: UUID) -> int:
    events = t.session_events.c
    statement = select(func.count(distinct(events.session_uid))).where(
        events.session_id == pseudonym,
        events.request_id == request_id,
        events.event == EventName.SESSION_ERASED,
    )
    return int((await conn.execute(statement)).scalar_one())
