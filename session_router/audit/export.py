"""Export: the closed part of the trail, streamed a page at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from sqlalchemy import Row

from session_router.audit.formats import WRITERS, Format, Writer
from session_router.audit.trail import BEFORE_ALL, Progress, Trail, silent
from session_router.errors import OutputError


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


async def export(
    trail: Trail,
    form: Format,
    file: IO[bytes],
    wanted: Wanted,
    progress: Progress = silent,
) -> Exported:
    """Write the wanted events, in the order of the trail, with no more than a page in memory.

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
    written = 0
    with _output():
        writer: Writer = WRITERS[form](file)
    async with trail.reading() as conn:
        async for page in trail.pages(conn, *conditions, after=start, until=until):
            with _output():
                writer.write(page)
            written += len(page)
            progress("exporting", _share(page, wanted.after or 0, until))
    with _output():
        writer.close()
        file.flush()
    return Exported(written, max(until, wanted.after or 0) if wanted.until is None else None)


@contextmanager
def _output() -> Iterator[None]:
    """Tell faults of the file from those of the database."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the export cannot be written: {error}; it is not whole.") from error


def _share(page: Sequence[Row[Any]], start: int, until: int) -> float:
    return float((page[-1].event_id - start) / max(until - start, 1))
