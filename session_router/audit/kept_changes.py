"""Changes of what is sealed: what a story was in a sealed range, and what it is there since.

An erasure writes other texts, a pruning takes the story away, so the digest over its events is no
more the one that was sealed. What it was is kept with what it is, and signed: without a signature
whoever owns the tables could make a change of his own, and call a deletion a pruning.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, insert, select
from sqlalchemy.dialects.postgresql import UUID as UUID_
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.chain import Seal
from session_router.audit.changes import array, schema_functions
from session_router.audit.digests import Portion
from session_router.audit.keys import AuditKeys, Signer
from session_router.audit.laws import Violation
from session_router.database.schema import Tables


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one story in one sealed range.

    Attributes:
        seal_id: of the range.
        sealed: the range's digest, as its seal has it.
        before: what was sealed, or was there after the change before.
        after: the digest of what is there since; None: the story was pruned.
        request_id: of the erasure or the pruning.
    """

    seal_id: int
    sealed: str
    session_uid: UUID
    before: Portion
    after: str | None
    request_id: UUID

    @property
    def signed(self) -> str:
        """The text that is signed."""
        told = ["change", self.seal_id, self.sealed, str(self.session_uid)]
        told += [self.before.events, self.before.digest, self.after, str(self.request_id)]
        return json.dumps(told)


async def keep(conn: AsyncConnection, t: Tables, made: Sequence[Change], signer: Signer) -> None:
    """Keep changes, one at least, all of one request, signed."""
    request_id = made[0].request_id
    signatures = [signer.sign(each.signed) for each in made]
    if conn.dialect.name == "postgresql":
        call = schema_functions(t).keep_changes(
            request_id,
            array([each.seal_id for each in made], BigInteger()),
            array([each.session_uid for each in made], UUID_()),
            array([each.before.events for each in made], BigInteger()),
            array([each.before.digest for each in made], Text()),
            array([each.after for each in made], Text()),
            signer.key_id,
            array(signatures, Text()),
        )
        await conn.execute(select(call))
        return
    rows = [
        {
            "seal_id": each.seal_id,
            "session_uid": each.session_uid,
            "events": each.before.events,
            "digest": each.before.digest,
            "digest_after": each.after,
            "request_id": request_id,
            "key_id": signer.key_id,
            "signature": signature,
        }
        for each, signature in zip(made, signatures, strict=True)
    ]
    await conn.execute(insert(t.sealed_changes), rows)


@dataclass
class Kept:
    """The changes of one sealed range whose signatures hold, and what is told of others."""

    of_stories: dict[str, dict[str | None, Portion]]
    faults: list[Violation]

    def as_sealed(self, found: Mapping[str, Portion]) -> tuple[dict[str, Portion], list[Violation]]:
        """What the stories were when they were sealed, from what is there of them now.

        Each change leads from what is there after it to what was there before it; those that
        lead nowhere are told.
        """
        then, undone = dict(found), []
        for uid, changes in self.of_stories.items():
            there = then.pop(uid, None)
            left = dict(changes)
            while (digest := there.digest if there else None) in left:
                there = left.pop(digest)
            if left:
                fault = "what is told to have changed is there as it was before"
                undone.append(Violation("change", "story", uid, {"fault": fault}))
            if there is not None:
                then[uid] = there
        return then, undone


async def kept_of(conn: AsyncConnection, t: Tables, each: Seal, keys: AuditKeys) -> Kept:
    """The changes of a sealed range."""
    statement = select(t.sealed_changes).where(t.sealed_changes.c.seal_id == each.seal_id)
    kept = Kept(defaultdict(dict), [])
    for row in await conn.execute(statement.order_by(t.sealed_changes.c.change_id)):
        change = _change_of(row, each)
        if _is_signed(row, change, each, keys):
            kept.of_stories[str(row.session_uid)][change.after] = change.before
        else:
            kept.faults.append(_refused(row, change))
    return kept


def _is_signed(row: Any, change: Change, each: Seal, keys: AuditKeys) -> bool:
    """Whether a known key has signed a change, and no weaker one than its seal's."""
    texts = (row.digest, row.key_id, row.signature, row.digest_after or "")
    if not all(isinstance(text, str) for text in texts):  # SQLite keeps bytes there, too
        return False
    key = keys.verifiers.get(row.key_id)
    is_weaker = len(row.signature) < len(each.chain)
    return key is not None and not is_weaker and key.has_signed(change.signed, row.signature)


def _change_of(row: Any, each: Seal) -> Change:
    before = Portion(row.events, row.digest)
    return Change(
        each.seal_id, each.digest, row.session_uid, before, row.digest_after, row.request_id
    )


def _refused(row: Any, change: Change) -> Violation:
    told = f"it is forged, or of the key {row.key_id}, which is not among those that are set"
    return Violation(
        "change",
        "change",
        f"{row.change_id} (of story {change.session_uid}, seal {change.seal_id})",
        {"fault": told},
    )
