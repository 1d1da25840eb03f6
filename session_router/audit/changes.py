"""The only two changes of the trail: stories removed, events erased; each leaves its record.
And what is added beside it: seals.

On PostgreSQL they are functions, which alone pass the trigger, and which write the record
themselves. SQLite has no such functions: there the trigger is taken away and made again within
the one transaction.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as UUID_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from session_router.audit.chain import Seal
from session_router.database.definitions import definitions
from session_router.database.definitions.audit_0016 import NO_DELETE, NO_UPDATE, NOW
from session_router.database.schema import Tables
from session_router.database.types import UtcDateTime, one_of
from session_router.events import EventName
from session_router.repository.records import EventRow
from session_router.repository.sql import rows

_NO_SESSION: Final = ("", UUID(int=0))
"""What stands for the session's id and uid in the record of a pruning, which is of none."""


@dataclass(frozen=True, slots=True)
class Story:
    """One life of a session, told to its end."""

    session_id: str
    session_uid: UUID


@dataclass(frozen=True, slots=True)
class Erased:
    """What stands in an event after its erasure."""

    event_id: int
    session_uid: UUID
    agent_key: str | None
    actor: str | None
    detail: str | None


async def add_seal(conn: AsyncConnection, t: Tables, made: Seal) -> None:
    """Add a seal; PostgreSQL sees to it that it fits the trail."""
    values = made.model_dump()
    if conn.dialect.name == "postgresql":
        await conn.execute(select(schema_functions(t).seal_trail(*_typed(t.audit_seals, values))))
    else:
        await conn.execute(insert(t.audit_seals).values(values))


async def remove_stories(
    conn: AsyncConnection,
    t: Tables,
    stories: Sequence[Story],
    before: datetime,
    request_id: UUID,
    actor: str | None,
) -> int:
    """Delete the events of stories; returns how many."""
    ids = [story.session_id for story in stories]
    uids = [story.session_uid for story in stories]
    if conn.dialect.name == "postgresql":
        call = schema_functions(t).prune_trail(
            request_id,
            bindparam(None, before, type_=UtcDateTime(), unique=True),
            array(ids, Text()),
            array(uids, UUID_()),
            _text(actor),
        )
        return int((await conn.execute(select(call))).scalar_one())
    events = t.session_events.c
    async with _unguarded(conn, NOW.format(NO_DELETE)):
        removed = await conn.execute(
            delete(t.session_events)
            .where(one_of(events.session_id, ids))
            .where(one_of(events.session_uid, uids))
        )
    told = {"before": before.isoformat(), "stories": len(stories), "events": removed.rowcount}
    record = EventRow(
        await rows.now(conn),
        *_NO_SESSION,
        EventName.TRAIL_PRUNED,
        request_id=request_id,
        actor=actor,
        detail=json.dumps(told),
    )
    await rows.record(conn, t, [record])
    return removed.rowcount


async def erase_events(
    conn: AsyncConnection,
    t: Tables,
    erased: Sequence[Erased],
    pseudonym: str,
    request_id: UUID,
    actor: str | None,
) -> int:
    """Put pseudonyms into events; returns how many. Each life is recorded once a request."""
    if conn.dialect.name == "postgresql":
        call = schema_functions(t).erase_events(
            request_id,
            array([event.event_id for event in erased], BigInteger()),
            _text(pseudonym),
            array([event.agent_key for event in erased], Text()),
            array([event.actor for event in erased], Text()),
            array([event.detail for event in erased], Text()),
            _text(actor),
        )
        return int((await conn.execute(select(call))).scalar_one())
    return await _erase_on_sqlite(conn, t, erased, pseudonym, request_id, actor)


async def _erase_on_sqlite(
    conn: AsyncConnection,
    t: Tables,
    erased: Sequence[Erased],
    pseudonym: str,
    request_id: UUID,
    actor: str | None,
) -> int:
    events = t.session_events.c
    statement = (
        update(t.session_events)
        .where(events.event_id == bindparam("_event_id"), ~events.erased)
        .values(
            session_id=pseudonym,
            agent_key=bindparam("_agent_key"),
            actor=bindparam("_actor"),
            detail=bindparam("_detail"),
            erased=True,
        )
    )
    fresh = [
        {
            "_event_id": event.event_id,
            "_agent_key": event.agent_key,
            "_actor": event.actor,
            "_detail": event.detail,
        }
        for event in erased
    ]
    async with _unguarded(conn, NOW.format(NO_UPDATE)):
        changed = await conn.execute(statement, fresh)
    recorded = select(events.session_uid).where(
        events.session_id == pseudonym,
        events.request_id == request_id,
        events.event == EventName.SESSION_ERASED,
    )
    known = set((await conn.execute(recorded)).scalars())
    now = await rows.now(conn)
    records = [
        EventRow(now, pseudonym, uid, EventName.SESSION_ERASED, request_id=request_id, actor=actor)
        for uid in dict.fromkeys(event.session_uid for event in erased)
        if uid not in known
    ]
    await rows.record(conn, t, records)
    return changed.rowcount


@asynccontextmanager
async def _unguarded(conn: AsyncConnection, trigger: str) -> AsyncIterator[None]:
    """Take a trigger away for the length of the block, in the transaction of the caller."""
    [guard] = [made for made in definitions("sqlite", None) if made.name == trigger]
    await conn.exec_driver_sql(guard.drop)
    yield
    await conn.exec_driver_sql(guard.create)


def schema_functions(t: Tables) -> Any:
    """The functions of PostgreSQL's schema, by name."""
    return getattr(func, str(t.session_events.schema))


def _typed(table: Table, values: Mapping[str, Any]) -> list[BindParameter[Any]]:
    return [
        bindparam(None, value, type_=table.c[name].type, unique=True)
        for name, value in values.items()
    ]


def array(values: Sequence[Any], of: TypeEngine[Any]) -> BindParameter[Any]:
    """One parameter of many values."""
    return bindparam(None, list(values), type_=ARRAY(of), unique=True)


def _text(value: str | None) -> BindParameter[Any]:
    return bindparam(None, value, type_=Text(), unique=True)
