"""Digests of events, which stay the same when events are erased, and when stories are pruned."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from session_router.pseudonyms import ErasureKey


@dataclass(frozen=True, slots=True)
class Portion:
    """What one story has in one range of the trail.

    Attributes:
        events: how many.
        digest: SHA-256 over their erased forms, a line each, in the order of the trail.
    """

    events: int
    digest: str


def erased_form(row: Row[Any], key: ErasureKey) -> str:
    """An event as JSON, as it reads after an erasure, whether it was erased or not."""

    def personal(value: str | None) -> str | None:
        return value if value is None or row.erased else key.pseudonym(value)

    return json.dumps(
        [
            row.event_id,
            row.occurred_at.isoformat(timespec="microseconds"),
            str(row.session_uid),
            row.event,
            row.agent_type,
            None if row.stream_id is None else str(row.stream_id),
            None if row.worker_id is None else str(row.worker_id),
            None if row.request_id is None else str(row.request_id),
            row.started_at and row.started_at.isoformat(timespec="microseconds"),
            row.outcome,
            personal(row.session_id),
            personal(row.agent_key),
            personal(row.actor),
            personal(row.detail),
        ]
    )


def portions(rows: Iterable[Row[Any]], key: ErasureKey) -> dict[UUID, Portion]:
    """What each story has in a range, given the range's events in the order of the trail."""
    hashes: dict[UUID, Any] = {}
    counts: dict[UUID, int] = {}
    for row in rows:
        uid = row.session_uid
        if uid not in hashes:
            hashes[uid], counts[uid] = hashlib.sha256(), 0
        hashes[uid].update(erased_form(row, key).encode() + b"\n")
        counts[uid] += 1
    return {uid: Portion(counts[uid], made.hexdigest()) for uid, made in hashes.items()}


def digest_of(of_stories: dict[UUID, Portion]) -> Portion:
    """A whole range: the digests of its stories, in the order of their ids."""
    made = hashlib.sha256()
    for uid in sorted(of_stories):
        portion = of_stories[uid]
        made.update(f"{uid} {portion.events} {portion.digest}\n".encode())
    return Portion(sum(portion.events for portion in of_stories.values()), made.hexdigest())
