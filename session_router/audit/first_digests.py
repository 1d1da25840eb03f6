"""Digests of the first form, which seals of before have: keyed, and the same after an erasure.

A story's is SHA-256 over the erased forms of its events, as one JSON array in the order of the
trail; so it takes the erasure key of then to make one anew.
"""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.digests import Portion
from session_router.database.schema import Tables
from session_router.database.types import UtcDateTime, UuidText, iso_text, uuid_text
from session_router.pseudonyms import ErasureKey


def digested(t: Tables) -> list[ColumnElement[Any]]:
    """The columns of `session_events`, in their order, as digests are made of them.

    As text, which the database makes: that takes a third of the time.
    """
    return [_as_digested(column) for column in t.session_events.c]


def _as_digested(column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, UtcDateTime):
        return iso_text(column).label(column.name)
    return uuid_text(column).label(column.name) if isinstance(column.type, UuidText) else column


async def read_portions(
    conn: AsyncConnection, t: Tables, key: ErasureKey, *conditions: ColumnElement[bool]
) -> dict[str, Portion]:
    """What each story has among the events that meet the conditions, by the id of its life."""
    rows = await read(conn, t, *conditions)
    return await asyncio.to_thread(portions, rows, key)


async def read(
    conn: AsyncConnection, t: Tables, *conditions: ColumnElement[bool]
) -> Sequence[Row[Any]]:
    """Events as these digests are made of them, in the order of the trail."""
    statement = select(*digested(t)).where(*conditions).order_by(t.session_events.c.event_id)
    return (await conn.execute(statement)).all()


def portions(rows: Iterable[Row[Any]], key: ErasureKey) -> dict[str, Portion]:
    """What each story has in a range, by the UUID of its life.

    Args:
        rows: of all columns as `digested` has them, in the order of the trail.
    """
    forms: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        forms[row.session_uid].append(_erased_form(row, key))
    return {
        uid: Portion(len(of_story), hashlib.sha256(json.dumps(of_story).encode()).hexdigest())
        for uid, of_story in forms.items()
    }


def _erased_form(row: Row[Any], key: ErasureKey) -> list[Any]:
    """An event as it reads after an erasure, whether it was erased or not."""
    (
        event_id,
        occurred_at,
        session_id,
        session_uid,
        event,
        agent_type,
        agent_key,
        stream_id,
        worker_id,
        request_id,
        started_at,
        outcome,
        actor,
        detail,
        erased,
    ) = tuple(row)
    personal = [session_id, agent_key, actor, detail]
    if not erased:
        personal = [None if value is None else key.pseudonym(value) for value in personal]
    return [
        event_id,
        occurred_at,
        session_uid,
        event,
        agent_type,
        stream_id,
        worker_id,
        request_id,
        started_at,
        outcome,
        *personal,
    ]
