"""`session-router sweep`: one sweep, now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from session_router.cli import output
from session_router.cli.connection import opened_manager
from session_router.cli.options import DatabaseUrl, Json, settings_of

if TYPE_CHECKING:
    from session_router.settings import Settings
    from session_router.worker.sweeper import SweepCounts


def sweep(database_url: DatabaseUrl = None, as_json: Json = False) -> None:
    """Expire idle sessions now.

    That is every session without a touch for SESSION_ROUTER_SESSION_TIMEOUT_MINUTES. What streams
    in them is stopped. A running service does this by itself.
    """
    with output.busy("sweeping"):
        counts = asyncio.run(_sweep(settings_of(database_url)))
    if as_json:
        output.show_json({"sessions": counts.sessions, "streams": counts.streams})
    else:
        output.say(f"expired {counts.sessions} session(s), stopped {counts.streams} stream(s)")


async def _sweep(settings: Settings) -> SweepCounts:
    async with opened_manager(settings) as manager:
        return await manager.expire_old_sessions()
