"""Workers: their rows and leases, and what becomes of the streams that they leave behind."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.database.types import clock, one_of
from session_router.events import SignalOutcome, StreamOutcome
from session_router.repository.base import Cleared
from session_router.repository.records import DETAIL_OF_CLEARED, NO_WORKER, Settlement, WorkerRow
from session_router.repository.sql import rows, sessions, signals, streams


async def add(conn: AsyncConnection, t: Tables, worker_id: UUID, host: str, pid: int) -> None:
    """Enter a worker; again, when whoever entered it was cancelled before the answer came."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(t.workers).values(
        worker_id=worker_id, host=host, pid=pid, started_at=clock(), heartbeat_at=clock()
    )
    await conn.execute(statement.on_conflict_do_nothing(index_elements=[t.workers.c.worker_id]))


async def beat(conn: AsyncConnection, t: Tables, worker_id: UUID) -> bool:
    """Renew a worker's lease; returns whether it still has one."""
    statement = (
        update(t.workers)
        .values(heartbeat_at=clock())
        .where(t.workers.c.worker_id == worker_id)
        .returning(t.workers.c.worker_id)
    )
    return (await conn.execute(statement)).one_or_none() is not None


async def listed(conn: AsyncConnection, t: Tables) -> list[WorkerRow]:
    """All workers, the oldest first, with the number of their streams."""
    now = await rows.now(conn)
    count = (
        select(func.count())
        .select_from(t.agent_streams)
        .where(t.agent_streams.c.worker_id == t.workers.c.worker_id)
        .scalar_subquery()
        .label("streams")
    )
    found = await conn.execute(
        select(t.workers, count).order_by(t.workers.c.started_at, t.workers.c.worker_id)
    )
    return [
        WorkerRow(
            worker_id=row.worker_id,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            heartbeat_age=now - row.heartbeat_at,
            streams=row.streams,
        )
        for row in found
    ]


async def streams_of(conn: AsyncConnection, t: Tables, worker_id: UUID) -> set[UUID] | None:
    """One statement, since a stream goes from the one table to the other in one transaction."""
    held = (
        select(column).where(column.table.c.worker_id == worker_id)
        for column in (
            t.workers.c.worker_id,
            t.agent_streams.c.stream_id,
            t.interrupt_signals.c.stream_id,
        )
    )
    found = set((await conn.execute(union_all(*held))).scalars())
    return found - {worker_id} if worker_id in found else None


async def delete_row(conn: AsyncConnection, t: Tables, worker_id: UUID) -> Cleared:
    """From then on the worker can register nothing: what is cleared stays clear."""
    deleted = await conn.execute(delete(t.workers).where(t.workers.c.worker_id == worker_id))
    return Cleared(workers=deleted.rowcount)


async def delete_lapsed(conn: AsyncConnection, t: Tables, lease: timedelta) -> list[UUID]:
    """Delete the rows of workers whose lease has run out.

    One that just registers a stream holds its row, and is passed over until the next time.
    """
    cutoff = await rows.now(conn) - lease
    lapsed = (
        select(t.workers.c.worker_id)
        .where(t.workers.c.heartbeat_at < cutoff)
        .order_by(t.workers.c.worker_id)
        .with_for_update(skip_locked=True)
    )
    found = [row.worker_id for row in await conn.execute(lapsed)]
    if found:
        await conn.execute(
            delete(t.workers)
            .where(one_of(t.workers.c.worker_id, found))
            .where(t.workers.c.heartbeat_at < cutoff)
        )
    return found


async def clear_stopped(
    conn: AsyncConnection, t: Tables, worker_id: UUID, limit: int
) -> Cleared | None:
    """Finish some of the streams, then settle some of the signals, of a worker that stops."""
    return await _clear(
        conn,
        t,
        t.agent_streams.c.worker_id == worker_id,
        t.interrupt_signals.c.worker_id == worker_id,
        limit,
        StreamOutcome.WORKER_STOPPED,
        SignalOutcome.FAILED,
    )


async def clear_lost(conn: AsyncConnection, t: Tables, limit: int) -> Cleared | None:
    """The same for streams and signals whose worker has no row; imported ones are spared."""
    return await _clear(
        conn,
        t,
        _has_no_worker(t, t.agent_streams.c.worker_id),
        _has_no_worker(t, t.interrupt_signals.c.worker_id),
        limit,
        StreamOutcome.WORKER_LOST,
        SignalOutcome.LOST,
    )


def _has_no_worker(t: Tables, worker_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    present = exists().where(t.workers.c.worker_id == worker_id)
    return (worker_id != NO_WORKER) & ~present


async def _clear(
    conn: AsyncConnection,
    t: Tables,
    is_stream_left: ColumnElement[bool],
    is_signal_left: ColumnElement[bool],
    limit: int,
    stream_outcome: StreamOutcome,
    signal_outcome: SignalOutcome,
) -> Cleared | None:
    """One batch; None when nothing is left.

    Streams first: a signal can come only from a stream that still stands.
    """
    held = select(t.agent_streams.c.session_id).where(is_stream_left).limit(limit)
    session_ids = {row.session_id for row in await conn.execute(held)}
    if session_ids:
        # Whoever takes streams out holds their sessions; only then is it certain what stands.
        await sessions.lock_many(conn, t, session_ids)
        finished = await rows.lock_streams(conn, t, session_ids, is_stream_left)
        await rows.delete_streams(conn, t, finished)
        await streams.record_finished(conn, t, finished, stream_outcome)
        return Cleared(streams=len(finished), signals=0)
    left = select(t.interrupt_signals.c.signal_id).where(is_signal_left).limit(limit)
    signal_ids = [row.signal_id for row in await conn.execute(left)]
    if not signal_ids:
        return None
    detail = DETAIL_OF_CLEARED[signal_outcome]
    settlements = [Settlement(i, signal_outcome, detail) for i in signal_ids]
    return Cleared(streams=0, signals=await signals.settle(conn, t, settlements))
