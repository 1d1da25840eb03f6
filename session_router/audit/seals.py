"""Seals: a digest over each closed range of the trail, each chained to the one before."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.digests import Portion, digest_of, portions
from session_router.audit.laws import Violation
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database.schema import Tables
from session_router.errors import InvalidSettingError, InvalidValueError
from session_router.pseudonyms import ErasureKey
from session_router.repository.sql import rows

_FIRST_LINK: Final = ""


class Seal(BaseModel):
    """One row of `audit_seals`.

    Attributes:
        seal_id: 1, 2, 3 ...
        first_event_id, last_event_id: the range, which ends where the next one begins.
        events: how many events it had.
        digest: over these events, in their erased form.
        chain: over all of this and the chain of the seal before, by the erasure key.
        key_id: tells which erasure key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seal_id: int
    first_event_id: int
    last_event_id: int
    events: int
    digest: str
    chain: str
    key_id: str
    sealed_at: datetime


async def seals(conn: AsyncConnection, t: Tables) -> list[Seal]:
    """Every seal, in the order of their making."""
    found = await conn.execute(select(t.audit_seals).order_by(t.audit_seals.c.seal_id))
    return [Seal(**row._mapping) for row in found]


async def seal(trail: Trail, key: ErasureKey, progress: Progress = silent) -> list[Seal]:
    """Seal all that is closed and not sealed yet, a page of the trail a seal.

    Raises:
        InvalidSettingError: earlier seals were made with another key.
        DatabaseError: the database failed it; the seals that were made stand.
    """
    until = await trail.closed_until()
    made: list[Seal] = []
    while (fresh := await _seal_next(trail, key, until)) is not None:
        made.append(fresh)
        progress("sealing", fresh.last_event_id / max(until, 1))
    return made


async def _seal_next(trail: Trail, key: ErasureKey, until: int) -> Seal | None:
    t = trail.tables
    async with trail.changing() as conn:
        before = await _newest(conn, t)
        if before is not None:
            check_key(before.key_id, key)
        start = before.last_event_id if before else BEFORE_ALL
        events = await _first_page(trail, conn, start, until)
        if not events:
            return None
        whole = digest_of(portions(events, key))
        fresh = Seal(
            seal_id=before.seal_id + 1 if before else 1,
            first_event_id=before.last_event_id + 1 if before else events[0].event_id,
            last_event_id=events[-1].event_id,
            events=whole.events,
            digest=whole.digest,
            chain="",
            key_id=key.key_id,
            sealed_at=await rows.now(conn),
        )
        fresh = fresh.model_copy(
            update={"chain": _chain(fresh, before.chain if before else _FIRST_LINK, key)}
        )
        await conn.execute(insert(t.audit_seals).values(**fresh.model_dump()))
    return fresh


def check_key(key_id: str, key: ErasureKey) -> None:
    """Refuse a key that is not the one of the seals that are there.

    Raises:
        InvalidSettingError: it is another.
    """
    if key_id != key.key_id:
        raise InvalidSettingError(
            f"the trail was sealed with the erasure key {key_id}, and SESSION_ROUTER_ERASURE_KEY "
            f"is the key {key.key_id}; set the one that the seals were made with."
        )


async def newest_key_id(conn: AsyncConnection, t: Tables) -> str | None:
    """Which key the newest seal was made with; None where nothing is sealed."""
    newest = await _newest(conn, t)
    return newest.key_id if newest else None


async def broken_seals(
    trail: Trail, conn: AsyncConnection, key: ErasureKey, progress: Progress
) -> list[Violation]:
    """Every seal that is not what the trail and the chain say now."""
    found: list[Violation] = []
    last_event_id, link = BEFORE_ALL, _FIRST_LINK
    made = await seals(conn, trail.tables)
    for number, each in enumerate(made, start=1):
        check_key(each.key_id, key)
        events = [
            event
            async for page in trail.pages(conn, after=last_event_id, until=each.last_event_id)
            for event in page
        ]
        there = digest_of(portions(events, key) | await _pruned(conn, trail.tables, each.seal_id))
        if (there.events, there.digest) != (each.events, each.digest):
            found.append(_broken(each, {"sealed": each.events, "found": there.events}))
        elif each.seal_id != number or each.chain != _chain(each, link, key):
            found.append(_broken(each, {"place in the chain": number, "chain": each.chain}))
        last_event_id, link = each.last_event_id, each.chain
        progress("seals", number / len(made))
    return found


def differing_seals(there: Sequence[Seal], kept: Sequence[Seal]) -> list[Violation]:
    """Every kept seal that the database does not have, or has otherwise."""
    by_id = {each.seal_id: each for each in there}
    return [
        Violation(
            "kept seal",
            "seal",
            str(each.seal_id),
            {"kept": each.chain, "found": by_id[each.seal_id].chain}
            if each.seal_id in by_id
            else {"kept": each.chain, "found": "none"},
        )
        for each in kept
        if by_id.get(each.seal_id) != each
    ]


def read_seals(path: Path) -> list[Seal]:
    """Seals that were kept in a file, as `audit seal --json` or `audit seals --json` wrote them.

    Raises:
        InvalidValueError: the file cannot be read, or holds anything else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line) for line in lines if line.strip()]
        kept = TypeAdapter(list[Seal]).validate_python(documents)
    except OSError as error:
        raise InvalidValueError(f"the seals in {str(path)!r} cannot be read: {error}.") from error
    except (ValueError, ValidationError) as error:
        raise InvalidValueError(
            f"{str(path)!r} holds no seals; give a file that 'session-router audit seals --json' "
            "has written, a JSON document a line."
        ) from error
    if not kept:
        raise InvalidValueError(f"{str(path)!r} is empty; there is nothing to compare with.")
    return kept


def _broken(each: Seal, counts: dict[str, int | str]) -> Violation:
    span = f"{each.seal_id} (events {each.first_event_id} to {each.last_event_id})"
    return Violation("seal", "seal", span, counts)


def _chain(each: Seal, link: str, key: ErasureKey) -> str:
    told = each.model_dump(mode="json", exclude={"chain", "sealed_at"})
    told["sealed_at"] = each.sealed_at.isoformat(timespec="microseconds")
    return key.mac("seal", json.dumps([link, *(told[name] for name in sorted(told))]))


async def _newest(conn: AsyncConnection, t: Tables) -> Seal | None:
    statement = select(t.audit_seals).order_by(t.audit_seals.c.seal_id.desc()).limit(1)
    row = (await conn.execute(statement)).one_or_none()
    return None if row is None else Seal(**row._mapping)


async def _first_page(
    trail: Trail, conn: AsyncConnection, after: int, until: int
) -> Sequence[Row[Any]]:
    async for page in trail.pages(conn, after=after, until=until):
        return page
    return []


async def _pruned(conn: AsyncConnection, t: Tables, seal_id: int) -> dict[UUID, Portion]:
    """What the stories that were pruned since had in a sealed range."""
    statement = select(t.pruned_stories).where(t.pruned_stories.c.seal_id == seal_id)
    return {
        row.session_uid: Portion(row.events, row.digest) for row in await conn.execute(statement)
    }
