"""Stream rows: register, finish, interrupt."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.schema import Tables
from session_router.errors import WorkerGoneError
from session_router.events import EventName, StreamOutcome
from session_router.repository import trail
from session_router.repository.base import Registration, StopRequest
from session_router.repository.changes import Finish, Register, Start
from session_router.repository.records import EventRow, Requester, Signal, StreamRow
from session_router.repository.sql import rows, sessions
from session_router.repository.sql import signals as outbox


async def register(conn: AsyncConnection, t: Tables, asked: Register) -> Registration:
    """Mark an agent as streaming: fence the worker, lock the session, then read and write.

    The touch locks the session's row, so of two takeovers of one stream the second sees what
    the first one made, and whoever ends the session waits, then sees this stream.
    """
    session_id, agent_id, worker_id = asked.session_id, asked.agent_id, asked.worker_id
    await _fence(conn, t, worker_id)
    session = await sessions.start(conn, t, Start(session_id, Requester(worker_id)))
    current = await _stream_of(conn, t, session_id, agent_id)
    if current and current.worker_id == worker_id and not asked.renew:
        return Registration(current.stream_id)
    stream = StreamRow(session_id, agent_id, asked.stream_id, worker_id, await rows.now(conn))
    taken_over = [current] if current else []
    events, signals = trail.registration(stream, session.session_uid, taken_over)
    await take_out(conn, t, taken_over, events, signals)
    await rows.insert_stream(conn, t, stream)
    return Registration(asked.stream_id, signals[0] if signals else None)


async def finish(conn: AsyncConnection, t: Tables, asked: Finish) -> UUID | None:
    """End one stream without its session's lock.

    The deletion finds the row or does not: whoever stops the session's streams meanwhile locks
    that same row, and one of the two writes the end. While it is held, the session lives on
    under its `session_uid`, since nothing can end it but by way of this row.
    """
    streams = t.agent_streams
    statement = (
        delete(streams)
        .where(streams.c.session_id == asked.session_id, rows.is_agent(t, asked.agent_id))
        .where(
            streams.c.stream_id == asked.stream_id
            if asked.stream_id
            else streams.c.worker_id == asked.worker_id
        )
        .returning(streams)
    )
    row = (await conn.execute(statement)).one_or_none()
    if row is None:
        return None
    stream = rows.stream_row(row)
    uids = await rows.session_uids(conn, t, [asked.session_id])
    await record_finished(conn, t, [stream], uids, asked.outcome, asked.detail)
    return stream.stream_id


async def outcome(
    conn: AsyncConnection, t: Tables, session_id: str, stream_id: UUID
) -> StreamOutcome | None:
    """How a stream ended by the trail, whose newest events of the session are looked at first."""
    found = (await conn.execute(outcome_of(t, session_id, stream_id))).scalar_one_or_none()
    return None if found is None else StreamOutcome(found)


def outcome_of(t: Tables, session_id: str, stream_id: UUID) -> Select[str]:
    """Said without `event = 'stream_finished'`: the index for that is of all sessions together."""
    events = t.session_events.c
    return (
        select(events.outcome)
        .where(
            events.session_id == session_id,
            events.stream_id == stream_id,
            events.outcome.is_not(None),
            events.event != EventName.SIGNAL_SETTLED,
        )
        .order_by(events.event_id.desc())
        .limit(1)
    )


async def interrupt(
    conn: AsyncConnection,
    t: Tables,
    session_id: str,
    agents: Collection[AgentId] | None,
    requester: Requester,
) -> StopRequest | None:
    """Take a session's streams (or the named agents') out, with a signal for each."""
    session = await sessions.lock(conn, t, session_id)
    if session is None:
        return None
    locked, now = await rows.lock_streams_at(conn, t, [session_id])
    streams = [stream for stream in locked if agents is None or stream.agent_id in agents]
    request_id = uuid4()
    events, signals = trail.interrupt(session, streams, now, requester, request_id)
    await take_out(conn, t, streams, events, signals)
    return StopRequest(request_id, streams, signals)


async def take_out(
    conn: AsyncConnection,
    t: Tables,
    streams: Collection[StreamRow],
    events: Sequence[EventRow],
    signals: Sequence[Signal],
) -> None:
    """Delete streams that the caller has locked, with what is to be written of it."""
    await rows.delete_streams(conn, t, streams)
    await rows.record(conn, t, events)
    await outbox.put(conn, t, signals)


async def record_finished(
    conn: AsyncConnection,
    t: Tables,
    streams: Collection[StreamRow],
    uids: Mapping[str, UUID],
    outcome: StreamOutcome,
    detail: str | None = None,
) -> None:
    """Write the end of streams that the caller has deleted, and that need no signal.

    Args:
        uids: those of the streams' sessions.
    """
    now = await rows.now(conn)
    events = [
        trail.stream_finished(stream, uids[stream.session_id], now, outcome, detail=detail)
        for stream in streams
    ]
    await rows.record(conn, t, events)


async def _fence(conn: AsyncConnection, t: Tables, worker_id: UUID) -> None:
    """Hold the worker's row, so that nobody can reap the worker before this commits.

    Raises:
        WorkerGoneError: there is no such row.
    """
    workers = t.workers.c
    statement = (
        select(workers.worker_id)
        .where(workers.worker_id == worker_id)
        .with_for_update(read=True, key_share=True)
    )
    if (await conn.execute(statement)).one_or_none() is None:
        raise WorkerGoneError(f"worker {worker_id} is not registered; start it anew.")


async def _stream_of(
    conn: AsyncConnection, t: Tables, session_id: str, agent_id: AgentId
) -> StreamRow | None:
    streams = t.agent_streams
    statement = (
        select(streams)
        .where(streams.c.session_id == session_id, rows.is_agent(t, agent_id))
        .with_for_update()
    )
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else rows.stream_row(row)
