"""What is shown at one moment, read anew each time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from session_router.cli.output import utc
from session_router.errors import (
    ContentionError,
    DatabaseUnavailableError,
    DeadlineExceededError,
)
from session_router.repository.changes import StreamFilter
from session_router.watch import Watch
from session_router.watch.records import (
    Deliveries,
    Overview,
    StopLine,
    StreamLine,
    StreamPage,
    Wanted,
    WorkerLine,
)

PASSING: Final = (ContentionError, DatabaseUnavailableError, DeadlineExceededError)
"""What ends by itself: it is read again later."""

STREAMS: Final = 200
"""How many live streams are listed at the most, the oldest."""


@dataclass(frozen=True, slots=True)
class View:
    """What there is at this moment.

    Attributes:
        overview: counted; what streams and works there is beyond what is listed, too.
        page: the oldest streams, and those just told to stop.
        part: what the names of these have in them; empty: anything.
    """

    overview: Overview
    deliveries: Deliveries
    workers: list[WorkerLine]
    page: StreamPage
    part: str


async def read(watch: Watch, part: str = "") -> View:
    """Read it all, on one connection after the other.

    Args:
        watch: of the database.
        part: only streams that have this in their session's id, or in their agent.

    Raises:
        DatabaseError, DeadlineExceededError: it cannot be read now.
    """
    return View(
        await watch.overview(None),
        await watch.deliveries(),
        await watch.workers(),
        await watch.streams(Wanted("", StreamFilter(), part), None, STREAMS),
        part,
    )


def json_of(view: View) -> dict[str, Any]:
    """The same for machines."""
    counted = view.overview
    return {
        "read_at": utc(view.page.read_at),
        "sessions": counted.sessions,
        "sessions_expired": counted.expired,
        "streams": counted.streams,
        "workers": counted.workers,
        "signals_open": counted.signals,
        "oldest_signal_at": utc(counted.oldest_signal_at),
        "hooks_owed": view.deliveries.owed,
        "hooks_dead": view.deliveries.dead,
        "verified_at": utc(counted.verified_at),
        "violations": counted.violations,
        "sealed_at": utc(counted.sealed_at),
        "worker_list": [*map(_worker, view.workers)],
        "stream_list": [*map(_stream, view.page.lines)],
        "has_more_streams": view.page.behind is not None,
    }


def _worker(line: WorkerLine) -> dict[str, Any]:
    return {
        "worker_id": str(line.worker_id),
        "host": line.host,
        "pid": line.pid,
        "version": line.version,
        "started_at": utc(line.started_at),
        "streams": line.streams,
        "heartbeat_age_sec": _seconds(line.heartbeat_age),
        "is_lost": line.is_lost,
        "wake_ups": line.wake_ups,
    }


def _stream(line: StreamLine) -> dict[str, Any]:
    return {
        "session_id": line.session_id,
        "agent_id": str(line.agent_id),
        "stream_id": str(line.stream_id),
        "worker_id": str(line.worker_id),
        "owner": line.owner,
        "started_at": utc(line.started_at),
        "touched_at": utc(line.touched_at),
        "stop": None if line.stop is None else _stop(line.stop),
    }


def _stop(stop: StopLine) -> dict[str, Any]:
    return {
        "requested_at": utc(stop.requested_at),
        "settled_at": utc(stop.settled_at),
        "outcome": stop.outcome,
        "detail": stop.detail,
        "actor": stop.actor,
        "reason": stop.reason,
    }


def _seconds(length: timedelta) -> float:
    return round(length.total_seconds(), 3)
