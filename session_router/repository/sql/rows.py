"""Between records and rows: what every operation reads and writes in the same way."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CursorResult,
    Row,
    Table,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router import logs
from session_router.agent_id import AgentId
from session_router.checks import as_utc
from session_router.database.schema import Tables
from session_router.database.types import clock, one_of
from session_router.errors import UnreadableRowError, WorkerNotFoundError
from session_router.events import SignalAction
from session_router.repository.records import (
    EventRow,
    SessionRow,
    Signal,
    StreamRow,
    columns_of,
)
from session_router.session import Columns

R = TypeVar("R")
T = TypeVar("T")


async def now(conn: AsyncConnection) -> datetime:
    """The database's time; to be asked for after the locks are held."""
    return (await conn.execute(select(clock()))).scalar_one()


def readable(found: CursorResult[Any], record: Callable[[Row[Any]], T]) -> list[T]:
    """The rows as records; one that was inserted by hand and cannot be read is passed over."""
    return readable_and_others(found, record)[0]


def readable_and_others(
    found: CursorResult[Any], record: Callable[[Row[Any]], T]
) -> tuple[list[T], int]:
    """The same, with the number of those that were passed over."""
    # Not by iterating: what cannot be read would end that, and hide the rows behind it.
    return _each_readable(found.fetchone, record)


def _each_readable(fetch: Callable[[], R | None], record: Callable[[R], T]) -> tuple[list[T], int]:
    records: list[T] = []
    passed_over = 0
    while True:
        try:
            if (row := fetch()) is None:
                return records, passed_over
            records.append(record(row))
        except UnreadableRowError as error:
            passed_over += 1
            logs.row_unreadable(str(error))


def session_row(row: Row[Any]) -> SessionRow:
    return SessionRow(**row._mapping)


def stream_row(row: Row[Any]) -> StreamRow:
    agent_id = AgentId.stored(row.agent_type, row.agent_key)
    return StreamRow(row.session_id, agent_id, row.stream_id, row.worker_id, row.started_at)


def signal_row(row: Row[Any]) -> Signal:
    return signal_of(row._mapping)


def signals_of(found: Iterable[Columns]) -> list[Signal]:
    """The same of what the driver itself has read, without those that cannot be read."""
    rows = iter(found)
    return _each_readable(lambda: next(rows, None), signal_of)[0]


def signal_of(columns: Columns) -> Signal:
    return Signal(
        signal_id=columns["signal_id"],
        worker_id=columns["worker_id"],
        request_id=columns["request_id"],
        session_id=columns["session_id"],
        session_uid=columns["session_uid"],
        agent_id=AgentId.stored(columns["agent_type"], columns["agent_key"]),
        stream_id=columns["stream_id"],
        action=SignalAction(columns["action"]),
        requested_at=as_utc(columns["requested_at"]),
    )


async def fence(conn: AsyncConnection, t: Tables, worker_id: UUID) -> None:
    """Hold the worker's row, so that nobody can reap the worker before this commits.

    Raises:
        WorkerNotFoundError: there is no such row.
    """
    workers = t.workers.c
    statement = (
        select(workers.worker_id)
        .where(workers.worker_id == worker_id)
        .with_for_update(read=True, key_share=True)
    )
    if (await conn.execute(statement)).one_or_none() is None:
        raise WorkerNotFoundError.of(worker_id)


def is_agent(t: Tables, agent_id: AgentId) -> ColumnElement[bool]:
    """Whether a stream row is one of that agent."""
    streams = t.agent_streams.c
    return (streams.agent_type == agent_id.type) & (streams.agent_key == agent_id.key)


async def lock_streams(
    conn: AsyncConnection,
    t: Tables,
    session_ids: Collection[str],
    *conditions: ColumnElement[bool],
) -> list[StreamRow]:
    """Lock the streams of sessions whose rows the caller holds, in key order."""
    return (await lock_streams_at(conn, t, session_ids, *conditions))[0]


async def lock_streams_at(
    conn: AsyncConnection,
    t: Tables,
    session_ids: Collection[str],
    *conditions: ColumnElement[bool],
) -> tuple[list[StreamRow], datetime]:
    """The same, with the time, read in the same statement: the sessions' locks are held by then."""
    streams = t.agent_streams
    statement = (
        select(streams, clock().label("now"))
        .where(one_of(streams.c.session_id, sorted(session_ids)), *conditions)
        .order_by(*streams.primary_key.columns)
        .with_for_update()
    )
    found = readable(await conn.execute(statement), lambda row: (stream_row(row), row.now))
    return [stream for stream, _ in found], found[0][1] if found else await now(conn)


async def delete_streams(conn: AsyncConnection, t: Tables, streams: Collection[StreamRow]) -> None:
    """Delete stream rows that the caller has locked, each by its `stream_id`."""
    if not streams:
        return
    columns = t.agent_streams.c
    await conn.execute(
        delete(t.agent_streams)
        .where(one_of(columns.session_id, sorted({s.session_id for s in streams})))
        .where(one_of(columns.stream_id, [s.stream_id for s in streams]))
    )


async def delete_unreadable_streams(
    conn: AsyncConnection, t: Tables, session_ids: Collection[str]
) -> None:
    """Delete what is left of the streams of sessions that end: what SQLite keeps though no code
    of ours wrote it, and of which no event can be told."""
    if conn.dialect.name == "sqlite":
        left = one_of(t.agent_streams.c.session_id, sorted(session_ids))
        await conn.execute(delete(t.agent_streams).where(left))


async def insert_stream(conn: AsyncConnection, t: Tables, stream: StreamRow) -> None:
    await conn.execute(insert(t.agent_streams).values(**agent_columns(stream)))


async def record(conn: AsyncConnection, t: Tables, events: Sequence[EventRow]) -> None:
    """Append events to the trail, in the transaction of the change that they tell of."""
    if events:
        await insert_all(conn, t.session_events, [columns_of(event) for event in events])


async def insert_all(
    conn: AsyncConnection, table: Table, found: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows that all have the same columns.

    On PostgreSQL many go as one statement with an array for each column: row by row, each would
    cost as much as all of them do.
    """
    if conn.dialect.name == "sqlite" or len(found) == 1:
        await conn.execute(insert(table), list(found))
        return
    names = list(found[0])
    arrays = [
        cast(bindparam(None, [row[name] for row in found]), ARRAY(table.c[name].type))
        for name in names
    ]
    given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
    await conn.execute(insert(table).from_select(names, select(given)))


async def session_uids(
    conn: AsyncConnection, t: Tables, session_ids: Collection[str]
) -> dict[str, UUID]:
    sessions = t.sessions.c
    statement = select(sessions.session_id, sessions.session_uid).where(
        one_of(sessions.session_id, sorted(session_ids))
    )
    return {row.session_id: row.session_uid for row in await conn.execute(statement)}


def agent_columns(row: StreamRow | Signal) -> dict[str, Any]:
    """A record as its table's columns: the agent's id is kept in two."""
    columns = {name: getattr(row, name) for name in row.__slots__ if name != "agent_id"}
    return columns | {"agent_type": row.agent_id.type, "agent_key": row.agent_id.key}
