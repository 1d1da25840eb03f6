"""Digests of stories in sealed ranges, which anybody who may read the trail can make anew."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit import salts
from session_router.database.schema import Tables, build_tables
from session_router.database.text_rows import as_stored, read_cell, text_lines, write_cell

_FIRST: Final = ("session_uid", "event_id")
_ALL: Final = [column.name for column in build_tables(None).session_events.c]
_NAMES: Final = [*_FIRST, *(name for name in _ALL if name not in _FIRST)]


@dataclass(frozen=True, slots=True)
class Portion:
    """What one story has in one range of the trail.

    Attributes:
        events: how many.
        digest: SHA-256 over the story's salt and their lines, with a line feed between two.
    """

    events: int
    digest: str


async def lines_of(
    conn: AsyncConnection, t: Tables, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[bytes]:
    """Events in the order of the trail, as lines: the story's id, the number, all other columns."""
    events = t.session_events.c
    columns = [as_stored(events[name], conn.dialect.name) for name in _NAMES]
    chosen = select(*columns).where(*conditions).order_by(events.event_id)
    return await text_lines(conn, chosen if limit is None else chosen.limit(limit))


def values_of(line: bytes) -> dict[str, str | None]:
    """The values of an event's line, by the names of their columns."""
    return dict(zip(_NAMES, map(read_cell, line.split(b"\t")), strict=True))


def line_of(values: Mapping[str, str | None]) -> bytes:
    """The line of an event, from such values."""
    return b"\t".join(write_cell(values[name]) for name in _NAMES)


def number_of(line: bytes) -> int:
    """The number of an event, from its line."""
    return int(line.split(b"\t", 2)[1])


def by_story(lines: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Lines told apart by the story that they are of."""
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for line in lines:
        found[line[: line.index(b"\t")]].append(line)
    return {uid.decode("utf-8", "surrogateescape"): lines for uid, lines in found.items()}


def portions(
    stories: Mapping[str, Sequence[bytes]], salted: Mapping[str, str]
) -> dict[str, Portion]:
    """What each story has of these lines, by its id; one without a salt fits no seal."""
    return {
        uid: Portion(
            len(lines),
            hashlib.sha256(b"\n".join((salted.get(uid, "").encode(), *lines))).hexdigest(),
        )
        for uid, lines in stories.items()
    }


async def read_portions(
    conn: AsyncConnection, t: Tables, *conditions: ColumnElement[bool]
) -> dict[str, Portion]:
    """What each story has among the events that meet the conditions."""
    stories = by_story(await lines_of(conn, t, *conditions))
    salted = await salts.known(conn, t, stories)
    # In a thread: it takes as long as a hundred requests.
    return await asyncio.to_thread(portions, stories, salted)


def digest_of(of_stories: Mapping[str, Portion]) -> Portion:
    """A whole range: the digests of its stories, in the order of their ids."""
    made = hashlib.sha256()
    for uid, portion in sorted(of_stories.items(), key=itemgetter(0)):
        told = f"{uid} {portion.events} {portion.digest}\n"
        made.update(told.encode("utf-8", "surrogateescape"))
    return Portion(sum(portion.events for portion in of_stories.values()), made.hexdigest())
