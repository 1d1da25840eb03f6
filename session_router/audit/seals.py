"""Seals: a digest over each closed range of the trail, each chained to the one before."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.chain import Chain, Seal, chain, seals
from session_router.audit.changes import add_seal
from session_router.audit.digests import Portion, digest_of, digested, portions
from session_router.audit.laws import Violation
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database.schema import Tables
from session_router.database.types import UtcDateTime
from session_router.errors import InvalidValueError
from session_router.pseudonyms import ErasureKey
from session_router.repository.sql import rows

__all__ = ["Seal", "broken_seals", "differing_seals", "read_seals", "seal", "seals"]


async def seal(trail: Trail, key: ErasureKey, progress: Progress = silent) -> list[Seal]:
    """Seal all that is closed and not sealed yet, a page of the trail a seal.

    Raises:
        InvalidSettingError: earlier seals were made with another key.
        DatabaseError: the database failed it; the seals that were made stand.
    """
    until = await trail.closed_until()
    made: list[Seal] = []
    there: Chain | None = None
    while True:
        async with trail.changing() as conn:
            if there is None or await _has_others(conn, trail.tables, there):
                there = await chain(trail, conn, key)
            fresh = await _seal_next(trail, conn, key, there, until)
        if fresh is None:
            return made
        there.append(fresh)
        made.append(fresh)
        progress("sealing", fresh.last_event_id / max(until, 1))


async def seal_if_due(trail: Trail, key: ErasureKey, every: timedelta) -> list[Seal]:
    """Seal where the newest seal is that old, or there is none. Raises as `seal`."""
    newest = select(func.max(trail.tables.audit_seals.c.sealed_at, type_=UtcDateTime()))
    async with trail.reading() as conn:
        sealed_at = (await conn.execute(newest)).scalar_one()
        is_due = sealed_at is None or await rows.now(conn) - sealed_at >= every
    return await seal(trail, key) if is_due else []


async def _has_others(conn: AsyncConnection, t: Tables, there: Chain) -> bool:
    """Whether somebody else has put a seal there since."""
    newest = select(func.max(t.audit_seals.c.seal_id))
    return bool((await conn.execute(newest)).scalar_one() != there.highest_id)


async def _seal_next(
    trail: Trail, conn: AsyncConnection, key: ErasureKey, before: Chain, until: int
) -> Seal | None:
    events = await _first_page(trail, conn, before.sealed_until, until)
    if not events:
        return None
    # In a thread: it takes as long as a thousand requests.
    whole = await asyncio.to_thread(lambda: digest_of(portions(events, key)))
    fresh = Seal(
        seal_id=before.next_id(),
        first_event_id=before.sealed_until + 1 if before.line else events[0].event_id,
        last_event_id=events[-1].event_id,
        events=whole.events,
        digest=whole.digest,
        chain="",
        key_id=key.key_id,
        sealed_at=await rows.now(conn),
    )
    fresh = fresh.model_copy(update={"chain": fresh.linked(before.link, key)})
    await add_seal(conn, trail.tables, fresh)
    return fresh


async def broken_seals(
    trail: Trail, key: ErasureKey, line: Sequence[Seal], progress: Progress
) -> list[Violation]:
    """Those of the seals, each of which holds by itself, that are not what the trail says now."""
    found = []
    for number, each in enumerate(line, start=1):
        # Whatever stands before the first seal's range was put there since.
        after = BEFORE_ALL if each.is_first(key) else each.first_event_id - 1
        async with trail.snapshot() as conn:
            events = [
                event
                async for page in trail.pages(
                    conn, after=after, until=each.last_event_id, columns=digested(trail.tables)
                )
                for event in page
            ]
            pruned = await _pruned(conn, trail.tables, each.seal_id)
        # What is there counts, whatever is said to be left of it.
        whole = digest_of(pruned | await asyncio.to_thread(portions, events, key))
        if (whole.events, whole.digest) != (each.events, each.digest):
            found.append(each.refused(f"sealed {each.events} event(s), found {whole.events}"))
        progress("seals", number / len(line))
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


async def _first_page(
    trail: Trail, conn: AsyncConnection, after: int, until: int
) -> Sequence[Row[Any]]:
    columns = digested(trail.tables)
    async for page in trail.pages(conn, after=after, until=until, columns=columns):
        return page
    return []


async def _pruned(conn: AsyncConnection, t: Tables, seal_id: int) -> dict[str, Portion]:
    """What the stories that were pruned since had in a sealed range."""
    statement = select(t.pruned_stories).where(t.pruned_stories.c.seal_id == seal_id)
    return {
        str(row.session_uid): Portion(row.events, row.digest)
        for row in await conn.execute(statement)
    }
