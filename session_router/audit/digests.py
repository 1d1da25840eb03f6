"""Digests of events, which stay the same when events are erased, and when stories are pruned."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Row

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


def portions(rows: Iterable[Row[Any]], key: ErasureKey) -> dict[UUID, Portion]:
    """What each story has in a range, given the range's events in the order of the trail.

    Args:
        rows: whole rows of `session_events`.
    """
    forms: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        forms[row.session_uid].append(_erased_form(row, key))
    return {
        uid: Portion(len(of_story), hashlib.sha256(json.dumps(of_story).encode()).hexdigest())
        for uid, of_story in forms.items()
    }


def digest_of(of_stories: dict[UUID, Portion]) -> Portion:
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
        _moment(occurred_at),
        str(session_uid),
        event,
        agent_type,
        stream_id and str(stream_id),
        worker_id and str(worker_id),
        request_id and str(request_id),
        started_at and _moment(started_at),
        outcome,
        *personal,
    ]


def _moment(time: datetime) -> str:
    return time.isoformat("T", "microseconds")
