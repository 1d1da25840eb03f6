"""What stories have in sealed ranges, in the form that each seal's digest is of."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import digests, first_digests, salts
from session_router.audit.chain import Seal
from session_router.audit.digests import Portion
from session_router.audit.keys import AuditKeys
from session_router.database.schema import Tables
from session_router.database.types import one_of

T = TypeVar("T")


async def of_range(
    conn: AsyncConnection, t: Tables, each: Seal, keys: AuditKeys, after: int
) -> dict[str, Portion]:
    """What each story has behind `after`, up to the end of a seal's range.

    Raises:
        InvalidSettingError: it takes an erasure key that is not set.
    """
    event_id = t.session_events.c.event_id
    within = (event_id > after, event_id <= each.last_event_id)
    if each.is_of_first_form:
        key = keys.erasure_key(each.key_id)
        return await first_digests.read_portions(conn, t, key, *within)
    return await digests.read_portions(conn, t, *within)


async def of_stories(
    conn: AsyncConnection,
    t: Tables,
    line: Sequence[Seal],
    keys: AuditKeys,
    session_ids: Sequence[str],
    session_uids: Sequence[UUID],
    lines: Sequence[bytes] | None = None,
) -> dict[Seal, dict[str, Portion]]:
    """What each of some stories has in each range that it was sealed in.

    Args:
        line: seals that hold, in their order.
        lines: the stories' events, where they were read already.

    Raises:
        InvalidSettingError: it takes an erasure key that is not set.
    """
    if not line or not session_uids:
        return {}
    chosen = of(t, session_ids, session_uids, line[-1].last_event_id)
    found: dict[Seal, dict[str, Portion]] = {}
    if not all(each.is_of_first_form for each in line):
        read = await digests.lines_of(conn, t, *chosen) if lines is None else lines
        found |= await _of_lines(conn, t, line, read)
    if any(each.is_of_first_form for each in line):
        found |= await _of_rows(conn, t, line, keys, chosen)
    return found


def of(
    t: Tables, session_ids: Sequence[str], session_uids: Sequence[UUID], until: int
) -> tuple[ColumnElement[bool], ...]:
    """The events of stories up to a number."""
    events = t.session_events.c
    return (
        one_of(events.session_id, session_ids),
        one_of(events.session_uid, session_uids),
        events.event_id <= until,
    )


async def _of_lines(
    conn: AsyncConnection, t: Tables, line: Sequence[Seal], lines: Sequence[bytes]
) -> dict[Seal, dict[str, Portion]]:
    stories = {
        each: digests.by_story(within)
        for each, within in _covered(lines, digests.number_of, line).items()
        if not each.is_of_first_form
    }
    salted = await salts.known(conn, t, {uid for of_seal in stories.values() for uid in of_seal})
    return {each: digests.portions(of_seal, salted) for each, of_seal in stories.items()}


async def _of_rows(
    conn: AsyncConnection,
    t: Tables,
    line: Sequence[Seal],
    keys: AuditKeys,
    chosen: Iterable[ColumnElement[bool]],
) -> dict[Seal, dict[str, Portion]]:
    rows = await first_digests.read(conn, t, *chosen)
    return {
        each: first_digests.portions(within, keys.erasure_key(each.key_id))
        for each, within in _covered(rows, lambda row: row.event_id, line).items()
        if each.is_of_first_form
    }


def _covered(
    events: Iterable[T], number_of: Callable[[T], int], line: Sequence[Seal]
) -> dict[Seal, list[T]]:
    """Events by the seal that covers them; others are left out."""
    ends = [each.last_event_id for each in line]
    found: dict[Seal, list[T]] = defaultdict(list)
    for event in events:
        number = number_of(event)
        at = bisect_left(ends, number)
        if at < len(line) and line[at].first_event_id <= number:
            found[line[at]].append(event)
    return found
