"""Receipts: what became of the signals of one request."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.errors import DatabaseError
from session_router.events import SignalOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.results import StopRequest

_FIRST_PAUSE_SEC: Final = 0.01
_LONGEST_PAUSE_SEC: Final = 0.25


async def receipts(
    repository: SessionRepository, session_id: str, request: StopRequest, wait_sec: float
) -> dict[AgentId, SignalOutcome | None]:
    """Wait until all signals of a request are settled, or the time is over.

    Args:
        wait_sec: the bound on the whole, also where the database does not answer.

    Returns:
        Each agent's outcome; None for a signal that is not settled yet, as far as is known.
    """
    stream_ids = [stream.stream_id for stream in request.streams]
    settled = await settlements(repository, session_id, request.request_id, stream_ids, wait_sec)
    return {stream.agent_id: settled.get(stream.stream_id) for stream in request.streams}


async def settlements(
    repository: SessionRepository,
    session_id: str,
    request_id: UUID,
    stream_ids: Collection[UUID],
    wait_sec: float,
) -> dict[UUID, SignalOutcome]:
    """The same by stream: those that are not settled yet are left out."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + wait_sec, _FIRST_PAUSE_SEC
    settled: dict[UUID, SignalOutcome] = {}
    while True:
        # The request has committed: a database that is away now does not undo it.
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout_at(deadline):
                settled = await repository.signal_outcomes(session_id, request_id)
        left = deadline - loop.time()
        if left <= 0 or all(stream_id in settled for stream_id in stream_ids):
            return settled
        # Half of what is left, towards the end: the last answer is to come just in time.
        await asyncio.sleep(min(pause, left / 2))
        pause = min(pause * 2, _LONGEST_PAUSE_SEC)
