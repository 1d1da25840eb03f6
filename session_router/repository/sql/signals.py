"""The outbox: signals are written with the change that calls for them, and settled once."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, delete, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY, asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.channel import channel
from session_router.database.pool import driver_of
from session_router.database.schema import Tables
from session_router.database.types import one_of
from session_router.errors import SignalNotFoundError
from session_router.events import EventName, SignalOutcome
from session_router.pseudonyms import is_pseudonym
from session_router.repository import trail
from session_router.repository.records import NO_WORKER, Settlement, Signal
from session_router.repository.sql import rows


async def put(conn: AsyncConnection, t: Tables, signals: Sequence[Signal]) -> None:
    """Write signals, and on PostgreSQL ring for each worker that they are for, at the commit."""
    if not signals:
        return
    if len(signals) == 1 and conn.dialect.name == "postgresql":
        # By far the most frequent case, in one way to the server and back.
        ring = func.pg_notify(channel(signals[0].worker_id), "")
        await conn.execute(
            insert(t.interrupt_signals).values(**rows.agent_columns(signals[0])).returning(ring)
        )
        return
    await rows.insert_all(conn, t.interrupt_signals, [rows.agent_columns(s) for s in signals])
    if conn.dialect.name == "postgresql":
        channels = sorted({channel(signal.worker_id) for signal in signals})
        each = func.unnest(bindparam(None, channels, type_=ARRAY(Text))).column_valued("each")
        await conn.execute(select(func.pg_notify(each, "")))


async def unsettled(conn: AsyncConnection, t: Tables, worker_id: UUID, limit: int) -> list[Signal]:
    if conn.dialect.name == "postgresql":
        # A stream runs on while this is under way: on the driver, it takes two thirds of the time.
        driver = driver_of(await conn.get_raw_connection())
        found = await driver.fetch(_unsettled_on_postgresql(t), worker_id, limit)
        return rows.signals_of(found)
    return rows.readable(await conn.execute(_unsettled(t, worker_id, limit)), rows.signal_row)


@cache
def _unsettled_on_postgresql(t: Tables) -> str:
    """The statement's text, with numbered places."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has not typed it
    return str(_unsettled(t, NO_WORKER, 0).compile(dialect=dialect))


def _unsettled(t: Tables, worker_id: UUID, limit: int) -> Select[Any]:
    signals = t.interrupt_signals
    return (
        select(signals)
        .where(signals.c.worker_id == worker_id)
        .order_by(signals.c.requested_at)
        .limit(limit)
    )


async def unsettled_of(
    conn: AsyncConnection, t: Tables, worker_ids: Collection[UUID], limit: int
) -> dict[UUID, list[Signal]]:
    """The signals of many workers, by the worker; none of those that have none."""
    found = await conn.execute(unsettled_by_worker(t, worker_ids, limit))
    signals: dict[UUID, list[Signal]] = {}
    for signal in rows.readable(found, rows.signal_row):
        signals.setdefault(signal.worker_id, []).append(signal)
    return signals


def unsettled_by_worker(t: Tables, worker_ids: Collection[UUID], limit: int) -> Select[Any]:
    """Each worker's oldest, so that one that settles nothing crowds out no other."""
    signals = t.interrupt_signals
    place = func.row_number().over(
        partition_by=signals.c.worker_id,
        order_by=(signals.c.requested_at, signals.c.signal_id),
    )
    placed = (
        select(signals, place.label("place"))
        .where(one_of(signals.c.worker_id, list(worker_ids)))
        .subquery()
    )
    return select(placed).where(placed.c.place <= limit).order_by(placed.c.requested_at)


async def settle(conn: AsyncConnection, t: Tables, settlements: Sequence[Settlement]) -> int:
    """Move signals from the outbox to the trail. Who deletes the row writes the event."""
    by_id = {settlement.signal_id: settlement for settlement in settlements}
    await _lock(conn, t, list(by_id))
    return await _move(conn, t, by_id)


async def settle_own(
    conn: AsyncConnection, t: Tables, settlements: Sequence[Settlement], worker_id: UUID
) -> int:
    """The same, where all must be one worker's, and the worker must be there.

    Raises:
        WorkerNotFoundError: it has no row.
        SignalNotFoundError: a signal is another worker's.
    """
    by_id = {settlement.signal_id: settlement for settlement in settlements}
    await rows.fence(conn, t, worker_id)
    for signal_id, owner in (await _lock(conn, t, list(by_id))).items():
        if owner != worker_id:
            raise SignalNotFoundError.of(signal_id, worker_id)
    return await _move(conn, t, by_id)


async def _move(conn: AsyncConnection, t: Tables, by_id: Mapping[UUID, Settlement]) -> int:
    statement = (
        delete(t.interrupt_signals)
        .where(one_of(t.interrupt_signals.c.signal_id, list(by_id)))
        .returning(t.interrupt_signals)
    )
    deleted = rows.readable(await conn.execute(statement), rows.signal_row)
    now = await rows.now(conn)
    events = []
    for signal in sorted(deleted, key=lambda signal: signal.requested_at):
        settlement = by_id[signal.signal_id]
        # What a runtime says of its agent may name what was erased in the meantime.
        detail = None if is_pseudonym(signal.session_id) else settlement.detail
        events.append(trail.signal_settled(signal, now, settlement.outcome, detail))
    await rows.record(conn, t, events)
    return len(events)


async def outcomes(
    conn: AsyncConnection, t: Tables, session_id: str, request_id: UUID
) -> dict[UUID, SignalOutcome]:
    """What became of the signals of one request so far, by stream."""
    events = t.session_events.c
    statement = select(events.stream_id, events.outcome).where(
        events.session_id == session_id,
        events.request_id == request_id,
        events.event == EventName.SIGNAL_SETTLED,
    )
    found = await conn.execute(statement)
    return dict(rows.readable(found, lambda row: (row.stream_id, SignalOutcome(row.outcome))))


async def _lock(conn: AsyncConnection, t: Tables, signal_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Lock signals in key order, for a worker and its reaper may settle the same ones.

    Returns:
        Whose each is, of those that are not settled.
    """
    signals = t.interrupt_signals.c
    found = await conn.execute(
        select(signals.signal_id, signals.worker_id)
        .where(one_of(signals.signal_id, signal_ids))
        .order_by(signals.signal_id)
        .with_for_update()
    )
    return dict(rows.readable(found, lambda row: (row.signal_id, row.worker_id)))
