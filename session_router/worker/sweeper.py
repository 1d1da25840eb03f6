"""The sweep: one pass that deletes expired sessions."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from session_router import logs
from session_router.repository.base import SessionRepository
from session_router.repository.changes import SweepPosition
from session_router.settings import Tuning
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.incarnation import Incarnation
from session_router.worker.lease import Lease

_STOPS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What a sweep did: how many sessions it deleted, and how many streams it stopped."""

    sessions: int
    streams: int


class Sweeper:
    """Deletes the sessions that are idle for too long.

    Args:
        repository: where they are.
        incarnation: who asks for it.
        dispatcher: delivers the signals to this worker's streams.
        lease: tells how far the database's clock was set forward of late.
        idle_for: how long a session is idle when it expires, if it has no timeout of its own.
        tuning: how much longer than its own timeout another one lives, how many sessions one
            transaction deletes at the most, and how long the stop of a stream holds that was not
            registered yet.
    """

    def __init__(
        self,
        repository: SessionRepository,
        incarnation: Incarnation,
        dispatcher: Dispatcher,
        lease: Lease,
        idle_for: timedelta,
        tuning: Tuning,
    ) -> None:
        self._repository = repository
        self._incarnation = incarnation
        self._dispatcher = dispatcher
        self._lease = lease
        self._idle_for = idle_for
        self._grace = timedelta(seconds=tuning.touch_resolution_sec)
        self._batch_size = tuning.sweep_batch_size
        self._early_stop = timedelta(seconds=tuning.early_stop_sec)

    async def run_once(self) -> SweepCounts:
        """Delete every session whose last touch is too long ago, batch by batch.

        Each batch is a transaction; its signals are delivered as soon as it has committed. Any
        number of workers may sweep at once: what one holds, the others skip.
        """
        step = await self._lease.clock_step()
        sessions = streams = 0
        position: SweepPosition | None = None
        while True:
            batch = await self._repository.expire_sessions(
                self._idle_for + step,
                self._incarnation.requester(),
                grace=self._grace + step,
                limit=self._batch_size,
                after=position,
            )
            self._dispatcher.begin(batch.signals)
            sessions += batch.sessions
            streams += batch.streams
            position = batch.position
            if position is None:
                break
        await self._clear_early_stops()
        if sessions:
            logs.sweep_finished(sessions, streams)
        return SweepCounts(sessions, streams)

    async def _clear_early_stops(self) -> None:
        """Delete the stops that nobody came for in their time."""
        while True:
            cleared = await self._repository.clear_early_stops(
                self._early_stop, limit=_STOPS_AT_ONCE
            )
            if cleared < _STOPS_AT_ONCE:
                return
