"""Session rows: find, lock, touch, create, snapshot."""

import sys
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.schema import Tables
from session_router.database.types import all_pairs, clock, later_of, one_of
from session_router.repository import records, trail
from session_router.repository.changes import Change, SessionFilter, Start, Touch, refuse
from session_router.repository.records import SessionRow
from session_router.repository.sql import rows
from session_router.session import SESSION_COLUMNS, Session, stored

_FIRST_SURROGATE: Final = 0xD800
_BEHIND_SURROGATES: Final = 0xE000


async def find(conn: AsyncConnection, t: Tables, session_id: str) -> Session | None:
    statement = with_agents(t).where(t.sessions.c.session_id == session_id)
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else _session(row)


async def page(
    conn: AsyncConnection, t: Tables, matching: SessionFilter, after: str | None, limit: int
) -> list[Session]:
    now = await rows.now(conn) if matching.idle_for is not None else None
    statement = page_of(t, matching, now, after, limit)
    return rows.readable(await conn.execute(statement), _session)


def page_of(
    t: Tables, matching: SessionFilter, now: datetime | None, after: str | None, limit: int
) -> Select[Any]:
    """Sessions that are meant, each with its agents, in the order of their ids."""
    columns = t.sessions.c
    statement = with_agents(t).where(*_are_meant(t, matching, now))
    if after is not None:
        statement = statement.where(columns.session_id > after)
    return statement.order_by(columns.session_id).limit(limit)


def _are_meant(
    t: Tables, matching: SessionFilter, now: datetime | None
) -> Iterator[ColumnElement[bool]]:
    sessions, streams = t.sessions.c, t.agent_streams.c
    if matching.prefix:
        yield sessions.session_id >= matching.prefix
        if (end := end_of_prefix(matching.prefix)) is not None:
            yield sessions.session_id < end
    if matching.owner is not None:
        yield sessions.owner == matching.owner
    if matching.idle_for is not None and now is not None:
        yield sessions.last_updated < now - matching.idle_for
    here = select(streams.session_id).where(streams.session_id == sessions.session_id)
    if matching.streaming is not None:
        yield here.exists() if matching.streaming else ~here.exists()
    of_type = [] if matching.agent_type is None else [streams.agent_type == matching.agent_type]
    if matching.worker_id is not None:
        # The worker's streams are found by their index; of each session anew they would be many.
        of_worker = select(streams.session_id).where(
            streams.worker_id == matching.worker_id, *of_type
        )
        yield sessions.session_id.in_(of_worker)
    elif of_type:
        yield here.where(*of_type).exists()


def end_of_prefix(prefix: str) -> str | None:
    """The first text, in the order of code points, behind all that begin so; None: there is none.

    It is no session's id, and never stored; but it has to be storable, so surrogates are skipped.
    """
    for length in range(len(prefix), 0, -1):
        code = ord(prefix[length - 1]) + 1
        if code == _FIRST_SURROGATE:
            code = _BEHIND_SURROGATES
        if code <= sys.maxunicode:
            return prefix[: length - 1] + chr(code)
    return None


def with_agents(t: Tables) -> Select[Any]:
    """Sessions, each with the agents that stream in it.

    One statement, for two would see two moments: between them a session may have ended, and its
    id begun another life. The agents are looked up for each session: a join would now and then
    be planned for a table of streams that was small a minute ago.
    """
    columns = t.sessions.c
    agents = _agents_of(t, columns.session_id).label("agents")
    return select(*(columns[name] for name in SESSION_COLUMNS), agents)


async def lock(conn: AsyncConnection, t: Tables, session_id: str) -> SessionRow | None:
    """Lock a session's row against whoever would end it, or register in it.

    A statement of its own: what is read after it sees all that was committed before the lock
    was had, a stream that was just being registered included.
    """
    statement = select(t.sessions).where(t.sessions.c.session_id == session_id).with_for_update()
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else rows.session_row(row)


async def lock_for(conn: AsyncConnection, t: Tables, asked: Change) -> SessionRow | None:
    """The same for who asks for a change: None where it is not for them.

    Raises:
        SessionOwnedError: see `refuse`.
    """
    session = await lock(conn, t, asked.session_id)
    if not _is_for(asked, session):
        refuse(asked)
        return None
    return session


def _is_for(asked: Change, session: SessionRow | None) -> bool:
    return session is None or asked.owner in (None, session.owner)


async def lock_free(
    conn: AsyncConnection, t: Tables, session_ids: Collection[str]
) -> dict[str, UUID]:
    """Lock those of the sessions' rows that nobody else holds, in key order; gives their uids."""
    columns = t.sessions.c
    statement = (
        select(columns.session_id, columns.session_uid)
        .where(one_of(columns.session_id, sorted(session_ids)))
        .order_by(columns.session_id)
        .with_for_update(skip_locked=True)
    )
    locked = await conn.execute(statement)
    return dict(rows.readable(locked, lambda row: (row.session_id, row.session_uid)))


async def touch(conn: AsyncConnection, t: Tables, session_id: str) -> SessionRow | None:
    """Touch a session. The row is locked first and the clock read after."""
    locked = (
        select(t.sessions.c.session_id)
        .where(t.sessions.c.session_id == session_id)
        .with_for_update(key_share=True)
        .cte("locked")
    )
    statement = (
        update(t.sessions)
        .values(last_updated=later_of(t.sessions.c.last_updated, clock()))
        .where(t.sessions.c.session_id == locked.c.session_id)
        .returning(t.sessions)
    )
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else rows.session_row(row)


async def create(conn: AsyncConnection, t: Tables, asked: Start) -> SessionRow | None:
    """Create a session with its event; None when another transaction did so first."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = (
        insert(t.sessions)
        .values(new_life(asked, await rows.now(conn)))
        .on_conflict_do_nothing(index_elements=[t.sessions.c.session_id])
        .returning(t.sessions)
    )
    row = (await conn.execute(statement)).one_or_none()
    if row is None:
        return None
    session = rows.session_row(row)
    await rows.record(conn, t, [trail.session_started(session, asked.requester, asked.request_id)])
    return session


def new_life(asked: Start, now: datetime) -> dict[str, Any]:
    """The columns of a session that begins now."""
    return asked.columns | {"session_uid": uuid4(), "start_time": now, "last_updated": now}


async def start(conn: AsyncConnection, t: Tables, asked: Start) -> SessionRow:
    """Get or create, and touch; the row is locked then.

    Each turn of the loop means that somebody else created or ended the session in between.
    """
    while True:
        session = await touch(conn, t, asked.session_id) or await create(conn, t, asked)
        if not _is_for(asked, session):
            refuse(asked)
        if session is not None:
            return session


async def lock_or_create(conn: AsyncConnection, t: Tables, asked: Start) -> tuple[SessionRow, bool]:
    """Lock a session's row, or create it; returns whether it was created."""
    while True:
        if (session := await lock_for(conn, t, asked)) is not None:
            return session, False
        if (session := await create(conn, t, asked)) is not None:
            return session, True


async def touch_and_read(conn: AsyncConnection, t: Tables, asked: Touch) -> Session | None:
    """Touch a session and read it, at once: it is no matter how young its last touch is."""
    if asked.owner is not None and await lock_for(conn, t, asked) is None:
        return None
    row = await touch(conn, t, asked.session_id)
    return None if row is None else await snapshot(conn, t, row)


async def start_and_read(conn: AsyncConnection, t: Tables, asked: Start) -> Session:
    """Get or create, touch and read."""
    return await snapshot(conn, t, await start(conn, t, asked))


async def snapshot(conn: AsyncConnection, t: Tables, session: SessionRow) -> Session:
    """A session that the caller has just changed, and so locked, with its streaming agents."""
    agents = select(_agents_of(t, literal(session.session_id)))
    pairs = (await conn.execute(agents)).scalar_one()
    return stored(records.columns_of(session), _agents(pairs))


def _agents_of(t: Tables, session_id: ColumnElement[str]) -> ScalarSelect[Any]:
    streams = t.agent_streams.c
    agents = select(all_pairs(streams.agent_type, streams.agent_key))
    return agents.where(streams.session_id == session_id).scalar_subquery()


def _session(row: Row[Any]) -> Session:
    return stored(row._asdict(), _agents(row.agents))


def _agents(pairs: list[list[str]] | None) -> set[AgentId]:
    return {AgentId.stored(*pair) for pair in pairs or ()}
