"""`session-router workers`: which workers there are, and how they do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from session_router.cli import output
from session_router.cli.connection import opened_repository
from session_router.cli.options import DatabaseUrl, Json, settings_of

if TYPE_CHECKING:
    from session_router.repository.records import WorkerRow
    from session_router.settings import Settings


def workers(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """List the workers, their streams and heartbeats.

    A worker whose heartbeat is older than SESSION_ROUTER_LEASE_SEC is dead; another one takes it
    out soon. One that is 'listening' is woken by notifications, one that is 'polling' looks from
    time to time, and one that came over HTTP is told by the 'service', and has the key that entered
    it. With --json one JSON document a line.
    """
    settings = settings_of(database_url)
    found = asyncio.run(_workers(settings))
    if as_json:
        for worker in found:
            output.show_json(_json_of(worker))
    elif not found:
        output.note("no worker is there")
    else:
        output.show_rows(
            (
                *("worker", "host", "pid", "started (UTC)", "heartbeat", "lease", "streams"),
                *("wake-ups", "key"),
            ),
            (_cells(worker, settings.lease_sec) for worker in found),
            flexible=("worker", "host"),
        )


async def _workers(settings: Settings) -> list[WorkerRow]:
    async with opened_repository(settings) as repository:
        return await repository.list_workers()


def _cells(worker: WorkerRow, lease_sec: float) -> tuple[str, ...]:
    is_alive = worker.heartbeat_age.total_seconds() <= lease_sec
    return (
        str(worker.worker_id),
        worker.host,
        str(worker.pid),
        output.moment(worker.started_at, "seconds"),
        f"{output.duration(worker.heartbeat_age)} ago",
        "alive" if is_alive else "run out",
        str(worker.streams),
        worker.wake_ups or "",
        worker.key_id or "",
    )


def _json_of(worker: WorkerRow) -> dict[str, str | int | float | None]:
    return {
        "worker_id": str(worker.worker_id),
        "host": worker.host,
        "pid": worker.pid,
        "started_at": output.utc(worker.started_at),
        "heartbeat_age_sec": round(worker.heartbeat_age.total_seconds(), 3),
        "streams": worker.streams,
        "wake_ups": worker.wake_ups,
        "key_id": worker.key_id,
    }
