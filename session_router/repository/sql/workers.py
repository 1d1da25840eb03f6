"""Workers, and the signals in their outbox."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import clock, one_of
from session_router.events import SignalOutcome, StreamOutcome
from session_router.repository import records
from session_router.repository.records import WORKER_STOPPED_DETAIL, Settlement, Signal
from session_router.repository.sql import rows, sessions, streams
from session_router.repository.sql.transactions import Transactions

_BATCH: Final = 1_000


async def add(conn: AsyncConnection, t: Tables, worker_id: UUID, host: str, pid: int) -> None:
    await conn.execute(
        insert(t.workers).values(
            worker_id=worker_id, host=host, pid=pid, started_at=clock(), heartbeat_at=clock()
        )
    )


async def remove(run: Transactions, t: Tables, worker_id: UUID) -> tuple[int, int]:
    """Take a worker out, in small transactions: its row, then its streams, then its signals.

    The row goes first: from then on the worker can register nothing, so what is cleared stays
    clear. A signal can come only from a stream that still stands, hence the signals go last.
    Whoever dies halfway leaves a worker without a row, whose rest anybody can clear.
    """
    await run.write(lambda conn: _delete_row(conn, t, worker_id))
    finished = settled = 0
    while (count := await run.write(lambda conn: _finish_batch(conn, t, worker_id))) is not None:
        finished += count
    while (count := await run.write(lambda conn: _settle_left(conn, t, worker_id))) is not None:
        settled += count
    return finished, settled


async def unsettled(conn: AsyncConnection, t: Tables, worker_id: UUID, limit: int) -> list[Signal]:
    signals = t.interrupt_signals
    statement = (
        select(signals)
        .where(signals.c.worker_id == worker_id)
        .order_by(signals.c.requested_at)
        .limit(limit)
    )
    return [rows.signal_row(row) for row in await conn.execute(statement)]


async def settle(conn: AsyncConnection, t: Tables, settlements: Sequence[Settlement]) -> int:
    """Move signals from the outbox to the trail. Who deletes the row writes the event."""
    by_id = {settlement.signal_id: settlement for settlement in settlements}
    await _lock_signals(conn, t, list(by_id))
    statement = (
        delete(t.interrupt_signals)
        .where(one_of(t.interrupt_signals.c.signal_id, list(by_id)))
        .returning(t.interrupt_signals)
    )
    deleted = [rows.signal_row(row) for row in await conn.execute(statement)]
    now = await rows.now(conn)
    events = []
    for signal in sorted(deleted, key=lambda signal: signal.requested_at):
        settlement = by_id[signal.signal_id]
        events.append(records.signal_settled(signal, now, settlement.outcome, settlement.detail))
    await rows.record(conn, t, events)
    return len(events)


async def _lock_signals(conn: AsyncConnection, t: Tables, signal_ids: Sequence[UUID]) -> None:
    signals = t.interrupt_signals.c
    await conn.execute(
        select(signals.signal_id)
        .where(one_of(signals.signal_id, signal_ids))
        .order_by(signals.signal_id)
        .with_for_update()
    )


async def _delete_row(conn: AsyncConnection, t: Tables, worker_id: UUID) -> None:
    await conn.execute(delete(t.workers).where(t.workers.c.worker_id == worker_id))


async def _finish_batch(conn: AsyncConnection, t: Tables, worker_id: UUID) -> int | None:
    """Finish some of a worker's streams, under the locks of their sessions; None: none is left."""
    columns = t.agent_streams.c
    held = select(columns.session_id).where(columns.worker_id == worker_id)
    found = await conn.execute(held.order_by(columns.session_id).limit(_BATCH))
    session_ids = {row.session_id for row in found}
    if not session_ids:
        return None
    await sessions.lock_many(conn, t, session_ids)
    mine = [
        stream
        for stream in await rows.lock_streams(conn, t, session_ids)
        if stream.worker_id == worker_id
    ]
    await rows.delete_streams(conn, t, mine)
    await streams.record_finished(conn, t, mine, StreamOutcome.WORKER_STOPPED)
    return len(mine)


async def _settle_left(conn: AsyncConnection, t: Tables, worker_id: UUID) -> int | None:
    left = await unsettled(conn, t, worker_id, _BATCH)
    failed = [
        Settlement(signal.signal_id, SignalOutcome.FAILED, WORKER_STOPPED_DETAIL) for signal in left
    ]
    return await settle(conn, t, failed) if failed else None
