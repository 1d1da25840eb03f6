"""The sweep: one pass that deletes expired sessions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from session_router import logs
from session_router.repository.base import SessionRepository, SweepPosition
from session_router.repository.records import Requester, Signal


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What a sweep did: how many sessions it deleted, and how many streams it stopped."""

    sessions: int
    streams: int


async def sweep(
    repository: SessionRepository,
    idle_for: timedelta,
    requester: Requester,
    batch_size: int,
    deliver: Callable[[Iterable[Signal]], object],
) -> SweepCounts:
    """Delete every session whose last touch is longer ago than `idle_for`, batch by batch.

    Each batch is a transaction; `deliver` gets its signals as soon as it has committed. Any
    number of workers may sweep at once: what one holds, the others skip.
    """
    sessions = streams = 0
    position: SweepPosition | None = None
    while True:
        batch = await repository.expire_sessions(
            idle_for, requester, limit=batch_size, after=position
        )
        deliver(batch.signals)
        sessions += batch.sessions
        streams += batch.streams
        position = batch.position
        if position is None:
            break
    if sessions:
        logs.sweep_finished(sessions, streams)
    return SweepCounts(sessions, streams)
