"""Seals: a digest over each closed range of the trail, each chained to the one before."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import salts, sealed
from session_router.audit import trail as trails
from session_router.audit.chain import Chain, Seal, chain, seals
from session_router.audit.changes import add_seal
from session_router.audit.digests import (
    Portion,
    by_story,
    digest_of,
    lines_of,
    number_of,
    portions,
)
from session_router.audit.kept_changes import kept_of
from session_router.audit.keys import AuditKeys
from session_router.audit.laws import Violation
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database.definitions.audit_0016 import FORM
from session_router.database.schema import Tables
from session_router.database.types import UtcDateTime
from session_router.errors import InvalidValueError
from session_router.repository.sql import rows

__all__ = ["Seal", "broken_seals", "differing_seals", "read_seals", "seal", "seals"]


async def seal(trail: Trail, keys: AuditKeys, progress: Progress = silent) -> list[Seal]:
    """Seal all that is closed and not sealed yet, a page of the trail a seal.

    Raises:
        InvalidSettingError: there is no key to seal by; or earlier seals were made with another.
        DatabaseError: the database failed it; the seals that were made stand.
    """
    until = await trail.closed_until()
    made: list[Seal] = []
    there: Chain | None = None
    while True:
        async with trail.changing() as conn:
            there = await chain(trail, conn, keys, there)
            fresh = await _seal_next(trail, conn, keys, there, until)
        if fresh is None:
            return made
        there.append(fresh)
        made.append(fresh)
        progress("sealing", fresh.last_event_id / max(until, 1))


async def seal_if_due(trail: Trail, keys: AuditKeys, every: timedelta) -> list[Seal]:
    """Seal where the newest seal is that old, or there is none. Raises as `seal`."""
    newest = select(func.max(trail.tables.audit_seals.c.sealed_at, type_=UtcDateTime()))
    async with trail.reading() as conn:
        sealed_at = (await conn.execute(newest)).scalar_one()
        is_due = sealed_at is None or await rows.now(conn) - sealed_at >= every
    return await seal(trail, keys) if is_due else []


async def _seal_next(
    trail: Trail, conn: AsyncConnection, keys: AuditKeys, before: Chain, until: int
) -> Seal | None:
    t, signer = trail.tables, before.signer(keys)
    event_id = t.session_events.c.event_id
    within = (event_id > before.sealed_until, event_id <= until)
    lines = await lines_of(conn, t, *within, limit=trails.PAGE)
    if not lines:
        return None
    stories = by_story(lines)
    salted = await salts.made(conn, t, stories)
    # In a thread: it takes as long as a hundred requests.
    whole = digest_of(await asyncio.to_thread(portions, stories, salted))
    fresh = Seal(
        seal_id=before.next_id(),
        first_event_id=before.sealed_until + 1 if before.line else number_of(lines[0]),
        last_event_id=number_of(lines[-1]),
        events=whole.events,
        digest=f"{FORM}{whole.digest}",
        chain="",
        key_id=signer.key_id,
        sealed_at=await rows.now(conn),
    )
    fresh = fresh.model_copy(update={"chain": signer.sign(fresh.signed(before.link))})
    await add_seal(conn, t, fresh)
    return fresh


async def broken_seals(
    trail: Trail, keys: AuditKeys, there: Chain, checked: Sequence[Seal], progress: Progress
) -> list[Violation]:
    """Those of the seals, each of which holds by itself, that are not what the trail says now.

    Raises:
        InvalidSettingError: it takes an erasure key that is not set.
    """
    found = []
    for number, each in enumerate(checked, start=1):
        # Whatever stands before the first seal's range was put there since.
        after = BEFORE_ALL if each.seal_id == there.first else each.first_event_id - 1
        async with trail.snapshot() as conn:
            portions_there = await sealed.of_range(conn, trail.tables, each, keys, after)
            pruned = await _pruned(conn, trail.tables, each)
            kept = await kept_of(conn, trail.tables, each, keys)
        # What is there counts, whatever is said to be left of it.
        then, undone = kept.as_sealed(pruned | portions_there)
        whole = digest_of(then)
        found += [*kept.faults, *undone]
        mark = "" if each.is_of_first_form else FORM
        if (whole.events, f"{mark}{whole.digest}") != (each.events, each.digest):
            found.append(each.refused(f"sealed {each.events} event(s), found {whole.events}"))
        progress("seals", number / len(checked))
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


async def _pruned(conn: AsyncConnection, t: Tables, each: Seal) -> dict[str, Portion]:
    """What stories that were pruned under a seal of the first form had in its range."""
    if not each.is_of_first_form:
        return {}
    statement = select(t.pruned_stories).where(t.pruned_stories.c.seal_id == each.seal_id)
    return {
        str(row.session_uid): Portion(row.events, row.digest)
        for row in await conn.execute(statement)
    }
