"""Export: the closed part of the trail, streamed a page at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.audit.formats import CSV_END, WRITERS, Format, Writer, csv_cells_in_sql
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.database import csv_copy
from session_router.errors import OutputError

_AT_ONCE: Final = 100_000
"""How many numbers of events one COPY is of."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are wanted.

    Attributes:
        after: only those behind this one.
        since: only those that occurred then or later.
        until: only those that occurred earlier.
    """

    after: int | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        events: how many.
        next_after: behind which event the next export goes on; None where one that ends at a
            time leaves events out that lie before others that it has.
    """

    events: int
    next_after: int | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Which events are written: of those behind `after`, up to `until`, what the conditions say."""

    conditions: Sequence[ColumnElement[bool]]
    after: int
    until: int

    def share(self, event_id: int) -> float:
        """How much lies before an event, from 0 to 1."""
        start = max(self.after, 0)
        return float((event_id - start) / max(self.until - start, 1))


async def export(
    trail: Trail,
    form: Format,
    file: IO[bytes],
    wanted: Wanted,
    progress: Progress = silent,
) -> Exported:
    """Write the wanted events, in the order of the trail, with no more than a page in memory.

    CSV comes from PostgreSQL as it is written, if it can be.

    Ends where an event could still appear, so that going on from there leaves none out.

    Raises:
        DatabaseError: the database failed it; what was written is no whole export.
        OutputError: the file cannot be written.
    """
    start = BEFORE_ALL if wanted.after is None else wanted.after
    until = await trail.closed_until()
    occurred_at = trail.tables.session_events.c.occurred_at
    conditions = []
    if wanted.since is not None:
        conditions.append(occurred_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(occurred_at < wanted.until)
    stretch = _Stretch(conditions, start, until)
    async with trail.reading() as conn:
        if conditions:
            stretch = await _narrowed(trail, conn, stretch)
        if form is Format.CSV and await csv_copy.is_possible(conn):
            written = await _copy(trail, conn, file, stretch, progress)
        else:
            written = await _write(trail, conn, WRITERS[form], file, stretch, progress)
    with _output():
        file.flush()
    return Exported(written, max(until, wanted.after or 0) if wanted.until is None else None)


async def _write(
    trail: Trail,
    conn: AsyncConnection,
    writes: Callable[[IO[bytes]], Writer],
    file: IO[bytes],
    stretch: _Stretch,
    progress: Progress,
) -> int:
    """Write events page by page; returns how many."""
    written = 0
    with _output():
        writer = writes(file)
    pages = trail.pages(conn, *stretch.conditions, after=stretch.after, until=stretch.until)
    async for page in pages:
        with _output():
            writer.write(page)
        written += len(page)
        progress("exporting", stretch.share(page[-1].event_id))
    with _output():
        writer.close()
    return written


async def _copy(
    trail: Trail, conn: AsyncConnection, file: IO[bytes], stretch: _Stretch, progress: Progress
) -> int:
    """Write events as CSV that the server makes; returns how many."""
    with _output():
        WRITERS[Format.CSV](file).close()
    events = trail.tables.session_events
    first = select(func.min(events.c.event_id)).where(events.c.event_id > stretch.after)
    after = ((await conn.execute(first)).scalar_one() or 1) - 1
    lines = select(csv_copy.line(csv_cells_in_sql(), CSV_END)).select_from(events)

    async def write(chunk: bytes) -> None:
        with _output():
            file.write(chunk)

    written = 0
    while after < stretch.until:
        end = min(after + _AT_ONCE, stretch.until)
        part = lines.where(events.c.event_id > after, events.c.event_id <= end, *stretch.conditions)
        written += await csv_copy.copy(conn, part.order_by(events.c.event_id), write)
        progress("exporting", stretch.share(end))
        after = end
    return written


async def _narrowed(trail: Trail, conn: AsyncConnection, stretch: _Stretch) -> _Stretch:
    """From the first to the last event of a time.

    Otherwise the search for the first page goes through all events from the beginning on.
    """
    events = trail.tables.session_events.c
    # The OFFSET keeps the server from looking for the least number by way of the primary key.
    numbers = select(events.event_id).where(*stretch.conditions).offset(0).subquery()
    first, last = (
        await conn.execute(select(func.min(numbers.c.event_id), func.max(numbers.c.event_id)))
    ).one()
    if first is None:
        return replace(stretch, until=stretch.after)
    return replace(stretch, after=max(stretch.after, first - 1), until=min(stretch.until, last))


@contextmanager
def _output() -> Iterator[None]:
    """Tell faults of the file from those of the database."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the export cannot be written: {error}; it is not whole.") from error
