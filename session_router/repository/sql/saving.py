"""`save_session`: a whole snapshot written as it is, for imports and tests."""

from uuid import uuid4

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.events import StreamOutcome
from session_router.repository import trail
from session_router.repository.changes import Start
from session_router.repository.records import NO_WORKER, Requester, StreamRow
from session_router.repository.sql import rows, sessions, streams
from session_router.session import Session, to_store


async def save(conn: AsyncConnection, t: Tables, session: Session) -> None:
    """Write a snapshot's columns and streaming agents, under the lock of the session's row."""
    row, _ = await sessions.lock_or_create(
        conn, t, Start(session.session_id, Requester(), owner=session.owner)
    )
    await conn.execute(
        update(t.sessions)
        .values(to_store(session))
        .where(t.sessions.c.session_id == session.session_id)
    )
    current = await rows.lock_streams(conn, t, [session.session_id])
    dropped = [stream for stream in current if stream.agent_id not in session.agents_streaming]
    await rows.delete_streams(conn, t, dropped)
    uids = {session.session_id: row.session_uid}
    await streams.record_finished(conn, t, dropped, uids, StreamOutcome.COMPLETED)
    now = await rows.now(conn)
    for agent_id in sorted(session.agents_streaming - {stream.agent_id for stream in current}):
        stream = StreamRow(session.session_id, agent_id, uuid4(), NO_WORKER, now)
        await rows.insert_stream(conn, t, stream)
        await rows.record(conn, t, [trail.stream_started(stream, row.session_uid)])
