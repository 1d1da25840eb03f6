"""Workers: their rows and leases, and what becomes of the streams that they leave behind."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Delete,
    Label,
    Select,
    delete,
    exists,
    func,
    literal,
    select,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import ReturningUpdate

from session_router.checks import as_utc
from session_router.database.pool import driver_of
from session_router.database.schema import Tables
from session_router.database.types import clock, one_of
from session_router.doorbell import ToldBy
from session_router.events import SignalOutcome, StreamOutcome, WorkerEnding
from session_router.repository.records import (
    DETAIL_OF_CLEARED,
    NO_WORKER,
    ReapedWorker,
    Settlement,
    WorkerRow,
)
from session_router.repository.results import Leftovers, WorkerStreams
from session_router.repository.sql import rows, sessions, signals, streams


async def add(
    conn: AsyncConnection,
    t: Tables,
    worker_id: UUID,
    host: str,
    pid: int,
    key_id: str | None,
    version: str | None,
) -> None:
    """Enter a worker; again, with a fresh lease, when no answer came the first time."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = insert(t.workers).values(
        worker_id=worker_id,
        host=host,
        pid=pid,
        started_at=clock(),
        heartbeat_at=clock(),
        key_id=key_id,
        version=version,
    )
    await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[t.workers.c.worker_id], set_={"heartbeat_at": clock()}
        )
    )


async def beat(conn: AsyncConnection, t: Tables, worker_id: UUID) -> datetime | None:
    """Renew a worker's lease; returns the time that was written, None where there is no row."""
    statement = (
        update(t.workers)
        .values(heartbeat_at=clock())
        .where(t.workers.c.worker_id == worker_id)
        .returning(t.workers.c.heartbeat_at)
    )
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else row.heartbeat_at


async def beat_all(
    conn: AsyncConnection, t: Tables, worker_ids: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Renew the leases of workers whose rows are there, and free; returns what was written."""
    if conn.dialect.name == "postgresql":
        # On the driver it costs a third of that: many workers beat all the time.
        driver = driver_of(await conn.get_raw_connection())
        told = await driver.fetch(_renewal_on_postgresql(t), worker_ids)
        return {row["worker_id"]: as_utc(row["heartbeat_at"]) for row in told}
    found = await conn.execute(renewal_of(t, worker_ids))
    return dict(rows.readable(found, lambda row: (row.worker_id, row.heartbeat_at)))


@cache
def _renewal_on_postgresql(t: Tables) -> str:
    """The statement's text, with numbered places."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has not typed it
    return str(renewal_of(t, []).compile(dialect=dialect))


def renewal_of(t: Tables, worker_ids: Sequence[UUID]) -> ReturningUpdate[Any]:
    workers = t.workers.c
    free = (
        select(workers.worker_id)
        .where(one_of(workers.worker_id, worker_ids))
        .order_by(workers.worker_id)
        .with_for_update(key_share=True, skip_locked=True)
        .cte()
    )
    return (
        update(t.workers)
        .values(heartbeat_at=clock())
        .where(workers.worker_id.in_(select(free.c.worker_id)))
        .returning(workers.worker_id, workers.heartbeat_at)
    )


async def note_wake_ups(conn: AsyncConnection, t: Tables, worker_id: UUID, told_by: ToldBy) -> bool:
    """Keep how a worker learns of its signals now; returns whether it has a row."""
    statement = update(t.workers).values(wake_ups=told_by).where(t.workers.c.worker_id == worker_id)
    return (await conn.execute(statement)).rowcount > 0


async def heartbeats(conn: AsyncConnection, t: Tables) -> dict[UUID, datetime]:
    """Each worker's last heartbeat."""
    found = await conn.execute(select(t.workers.c.worker_id, t.workers.c.heartbeat_at))
    return dict(rows.readable(found, lambda row: (row.worker_id, row.heartbeat_at)))


async def listed(
    conn: AsyncConnection, t: Tables, *conditions: ColumnElement[bool]
) -> list[WorkerRow]:
    """All workers, or those that are meant, the oldest first, with the number of their streams.

    The clock is read with the rows: read before them, it is behind a beat that came in between.
    """
    count = (
        select(func.count())
        .select_from(t.agent_streams)
        .where(t.agent_streams.c.worker_id == t.workers.c.worker_id)
        .scalar_subquery()
        .label("streams")
    )
    found = await conn.execute(
        select(t.workers, count, clock().label("now"))
        .where(*conditions)
        .order_by(t.workers.c.started_at, t.workers.c.worker_id)
    )
    return rows.readable(
        found,
        lambda row: WorkerRow(
            worker_id=row.worker_id,
            host=row.host,
            pid=row.pid,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            # The clock of the database may have been set back since.
            heartbeat_age=max(row.now - row.heartbeat_at, timedelta()),
            streams=row.streams,
            key_id=row.key_id,
            wake_ups=row.wake_ups,
        ),
    )


async def find(conn: AsyncConnection, t: Tables, worker_id: UUID) -> WorkerRow | None:
    found = await listed(conn, t, t.workers.c.worker_id == worker_id)
    return found[0] if found else None


async def present(conn: AsyncConnection, t: Tables, worker_ids: Collection[UUID]) -> list[UUID]:
    """Which of these workers have a row."""
    workers = t.workers.c
    statement = select(workers.worker_id).where(one_of(workers.worker_id, list(worker_ids)))
    return rows.readable(await conn.execute(statement), lambda row: row.worker_id)


async def streams_of(conn: AsyncConnection, t: Tables, worker_id: UUID) -> WorkerStreams | None:
    """One statement, since a stream goes from the one table to the other in one transaction."""
    streams, signals = t.agent_streams.c, t.interrupt_signals.c
    nothing = literal(None)
    statement = union_all(
        select(
            literal("worker").label("kind"),
            t.workers.c.worker_id.label("stream_id"),
            nothing.label("session_id"),
            nothing.label("agent_type"),
            nothing.label("agent_key"),
            t.workers.c.worker_id.label("worker_id"),
            t.workers.c.started_at.label("started_at"),
        ).where(t.workers.c.worker_id == worker_id),
        select(literal("live"), *_stream_columns(streams), streams.started_at).where(
            streams.worker_id == worker_id
        ),
        select(literal("signalled"), *_stream_columns(signals), signals.requested_at).where(
            signals.worker_id == worker_id
        ),
    )
    found = rows.readable(await conn.execute(statement), lambda row: row)
    if not any(row.kind == "worker" for row in found):
        return None
    return WorkerStreams(
        live=[rows.stream_row(row) for row in found if row.kind == "live"],
        signalled={row.stream_id for row in found if row.kind == "signalled"},
    )


async def delete_row(conn: AsyncConnection, t: Tables, worker_id: UUID) -> Leftovers:
    """From then on the worker can register nothing: what is cleared stays clear."""
    is_its = t.workers.c.worker_id == worker_id
    return Leftovers(workers=await _take_out(conn, t, is_its, WorkerEnding.STOPPED))


async def delete_silent(
    conn: AsyncConnection, t: Tables, silent: Mapping[UUID, datetime]
) -> Leftovers:
    """Delete the rows of workers that have given no heartbeat since the one that was seen.

    One that just registers a stream holds its row, and is passed over until the next time.
    """
    workers = t.workers.c
    locked = (
        select(workers.worker_id, workers.host, workers.pid, workers.heartbeat_at)
        .where(one_of(workers.worker_id, sorted(silent)))
        .order_by(workers.worker_id)
        .with_for_update(skip_locked=True)
    )
    found = rows.readable(await conn.execute(locked), lambda row: row)
    dead = tuple(
        ReapedWorker(row.worker_id, row.host, row.pid)
        for row in found
        if row.heartbeat_at == silent[row.worker_id]
    )
    ids = [worker.worker_id for worker in dead]
    await _take_out(conn, t, one_of(workers.worker_id, ids), WorkerEnding.LOST)
    return Leftovers(workers=len(dead), reaped=dead)


async def _take_out(
    conn: AsyncConnection, t: Tables, these: ColumnElement[bool], how: WorkerEnding
) -> int:
    """Delete rows of workers; by what is noted, a trigger keeps them among the past ones."""
    await conn.execute(update(t.workers).values(ending=how).where(these))
    return (await conn.execute(delete(t.workers).where(these))).rowcount


async def forget_past(conn: AsyncConnection, t: Tables, ended_before: datetime) -> None:
    """Forget the workers that were gone before a time."""
    await conn.execute(gone_before(t, ended_before))


def gone_before(t: Tables, time: datetime) -> Delete:
    return delete(t.past_workers).where(t.past_workers.c.ended_at < time)


async def clear_stopped(conn: AsyncConnection, t: Tables, worker_id: UUID, limit: int) -> Leftovers:
    """Finish some of the streams, then settle some of the signals, of a worker that stops.

    Sessions that others hold are passed over. Nothing cleared means that nothing else is left.
    """
    return await _clear(
        conn,
        t,
        t.agent_streams.c.worker_id == worker_id,
        t.interrupt_signals.c.worker_id == worker_id,
        limit,
        StreamOutcome.WORKER_STOPPED,
        SignalOutcome.FAILED,
    )


def lost(t: Tables) -> Select[UUID]:
    """Which workers have no row, and left streams or signals; imported streams are nobody's."""
    owners = union(
        select(_owners(t.agent_streams.c.worker_id).c.worker_id),
        select(_owners(t.interrupt_signals.c.worker_id).c.worker_id),
    ).subquery()
    return select(owners.c.worker_id).where(_has_no_worker(t, owners.c.worker_id))


async def list_lost(conn: AsyncConnection, t: Tables) -> list[UUID]:
    return rows.readable(await conn.execute(lost(t)), lambda row: row.worker_id)


async def clear_lost(
    conn: AsyncConnection, t: Tables, worker_ids: Sequence[UUID], limit: int
) -> Leftovers:
    """As `clear_stopped`, for workers that have no row."""
    streams, signals = t.agent_streams.c.worker_id, t.interrupt_signals.c.worker_id
    return await _clear(
        conn,
        t,
        one_of(streams, worker_ids) & _has_no_worker(t, streams),
        one_of(signals, worker_ids) & _has_no_worker(t, signals),
        limit,
        StreamOutcome.WORKER_LOST,
        SignalOutcome.LOST,
    )


async def sessions_of(conn: AsyncConnection, t: Tables, worker_id: UUID) -> list[str]:
    """In which sessions a worker still has streams, in key order."""
    streams = t.agent_streams.c
    statement = select(streams.session_id).where(streams.worker_id == worker_id)
    return sorted(set((await conn.execute(statement)).scalars()))


async def clear_session(
    t: Tables, worker_id: UUID, session_id: str, conn: AsyncConnection
) -> Leftovers:
    """Finish a stopped worker's streams in one session, waiting for whoever holds it."""
    session = await sessions.lock(conn, t, session_id)
    uids = {session_id: session.session_uid} if session else {}
    is_its = t.agent_streams.c.worker_id == worker_id
    return await _finish_locked(conn, t, uids, is_its, StreamOutcome.WORKER_STOPPED)


def _owners(worker_id: ColumnElement[UUID]) -> CTE:
    """The values of an indexed column, each found behind the one before.

    So the cost goes with the number of workers, and not with that of their streams.
    """

    def first(*after: ColumnElement[bool]) -> Label[Any]:
        found = select(worker_id).where(*after).order_by(worker_id).limit(1)
        return found.scalar_subquery().label("worker_id")

    owners = select(first()).cte(recursive=True)
    behind = select(first(worker_id > owners.c.worker_id))
    return owners.union_all(behind.where(owners.c.worker_id.is_not(None)))


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
) -> Leftovers:
    """One batch. Streams first: a signal can come only from a stream that still stands."""
    held = select(t.agent_streams.c.session_id).where(is_stream_left).limit(limit)
    session_ids = {row.session_id for row in await conn.execute(held)}
    # Whoever takes streams out holds their sessions; only then is it certain what stands. A
    # session that somebody keeps is passed over, lest it hold up the clearing of all others.
    locked = await sessions.lock_free(conn, t, session_ids)
    cleared = await _finish_locked(conn, t, locked, is_stream_left, stream_outcome)
    if cleared.streams:
        return cleared
    left = select(t.interrupt_signals.c.signal_id).where(is_signal_left).limit(limit)
    signal_ids = rows.readable(await conn.execute(left), lambda row: row.signal_id)
    detail = DETAIL_OF_CLEARED[signal_outcome]
    settlements = [Settlement(i, signal_outcome, detail) for i in signal_ids]
    return Leftovers(signals=await signals.settle(conn, t, settlements) if settlements else 0)


async def _finish_locked(
    conn: AsyncConnection,
    t: Tables,
    uids: Mapping[str, UUID],
    is_left: ColumnElement[bool],
    outcome: StreamOutcome,
) -> Leftovers:
    """Finish streams in sessions whose rows the caller holds, given with their uids."""
    finished = await rows.lock_streams(conn, t, uids, is_left)
    await rows.delete_streams(conn, t, finished)
    await streams.record_finished(conn, t, finished, uids, outcome)
    return Leftovers(streams=len(finished))


def _stream_columns(
    columns: ReadOnlyColumnCollection[str, Any],
) -> tuple[ColumnElement[Any], ...]:
    names = ("stream_id", "session_id", "agent_type", "agent_key", "worker_id")
    return tuple(columns[name] for name in names)
