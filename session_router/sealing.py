"""Sealing again and again, by whichever process finds first that it is time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from session_router import logs
from session_router.audit.keys import AuditKeys
from session_router.audit.seals import seal_if_due
from session_router.audit.trail import Trail
from session_router.worker.supervisor import Job, Supervisor

_LOOK_EVERY_SEC: Final = 60.0


@asynccontextmanager
async def sealing(trail: Trail, keys: AuditKeys, every: timedelta) -> AsyncIterator[None]:
    """Seal the trail for the length of the block, whenever the newest seal is older than `every`.

    As many processes as like may do so: one seals, and the others find that it is done. A failure
    is logged, and made good later.
    """

    async def run_once() -> None:
        if made := await seal_if_due(trail, keys, every):
            logs.trail_sealed(sum(each.events for each in made), made[-1].last_event_id)

    supervisor = Supervisor(trail.outage)
    pause_sec = min(every.total_seconds(), _LOOK_EVERY_SEC)
    supervisor.start(Job("seal", run_once, lambda: pause_sec))
    try:
        yield
    finally:
        await supervisor.stop()
