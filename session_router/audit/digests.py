"""Digests of events, which stay the same when events are erased, and when stories are pruned."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, ColumnElement, Row

from session_router.database.schema import Tables
from session_router.database.types import UtcDateTime, UuidText, iso_text, uuid_text
from session_router.pseudonyms import ErasureKey


@dataclass(frozen=True, slots=True)
class Portion:
    """What one story has in one range of the trail.

    Attributes:
        events: how many.
        digest: SHA-256 over their erased forms, as one JSON array in the order of the trail.
    """

    events: int
    digest: str


def digested(t: Tables) -> list[ColumnElement[Any]]:
    """The columns of `session_events`, in their order, as digests are made of them.

    As text, which the database makes: that takes a third of the time.
    """
    return [_as_digested(column) for column in t.session_events.c]


def _as_digested(column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, UtcDateTime):
        return iso_text(column).label(column.name)
    return uuid_text(column).label(column.name) if isinstance(column.type, UuidText) else column


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


def digest_of(of_stories: dict[str, Portion]) -> Portion:
    """A whole range: the digests of its stories, in the order of their ids."""
    made = hashlib.sha256()
    for uid, portion in sorted(of_stories.items(), key=itemgetter(0)):
        made.update(f"{uid} {portion.events} {portion.digest}\n".encode())
    return Portion(sum(portion.events for portion in of_stories.values()), made.hexdigest())


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
