"""Brings what streams in this worker in line with the database, and writes how it has ended."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from session_router import logs
from session_router.errors import RefusedError
from session_router.events import SIGNALLED_OUTCOMES, StreamOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.changes import Finish
from session_router.repository.records import StreamRow
from session_router.text import with_storable
from session_router.worker.endings import Ending, Endings
from session_router.worker.incarnation import Incarnation
from session_router.worker.local_streams import LocalStreams

_UNTOLD_DETAIL: Final = "registered, but its caller could not be told in time"


class Reconciler:
    """Ends streams in the database, and finds where it and this worker differ.

    Args:
        repository: where the streams' rows are.
        incarnation: whose streams.
        streams: what streams here.

    Attributes:
        endings: the streams of `stream()` that have ended here, until that is written.
    """

    def __init__(
        self, repository: SessionRepository, incarnation: Incarnation, streams: LocalStreams
    ) -> None:
        self._repository = repository
        self._incarnation = incarnation
        self._streams = streams
        self._in_doubt: UUID | None = None
        self.endings = Endings()

    def doubt(self) -> None:
        """Note that a registration of this incarnation may have committed, or may yet."""
        self._in_doubt = self._incarnation.worker_id

    async def finish(self, asked: Finish) -> bool:
        """End a stream, of whichever worker, with what of its detail can be stored.

        Returns:
            Whether there was such a stream.
        """
        ended = await with_storable(
            lambda told: self._repository.finish_stream(
                asked if told == asked.detail else replace(asked, detail=told)
            ),
            asked.detail,
        )
        if ended is not None:
            self._streams.leave(ended)
        return ended is not None

    async def finish_ending(self, ending: Ending) -> StreamOutcome | None:
        """Write how a stream of this worker ended, unless that is written already.

        Returns:
            How it ended in the trail; None where it never began there, or has not yet.
        """
        written: StreamOutcome | None = ending.outcome
        if not await self.finish(ending.finish()):
            written = await self._repository.stream_outcome(ending.session_id, ending.stream_id)
        if written is not None:
            self.endings.remove(ending.stream_id)
            if written not in SIGNALLED_OUTCOMES:  # of the others, a signal comes yet
                self._streams.leave(ending.stream_id)
        return written

    async def run_once(self) -> None:
        """Compare with the database once, in both directions.

        A stream that was ended by way of another worker, as behind a load balancer, is forgotten.
        A row is finished whose stream has ended here, or that nobody here knows, since its caller
        was told that the outcome is unknown.
        """
        worker_id = self._incarnation.worker_id
        known = {stream.stream_id for stream in self._streams.registered()}
        # A registration in doubt may commit at any later time, so the doubt stays.
        if not (known or self.endings or self._in_doubt == worker_id):
            return
        held = await self._repository.streams_of_worker(worker_id)
        if held is None or worker_id != self._incarnation.worker_id:
            return  # reaped: the heartbeat finds out, or has, and they are cancelled
        for stream_id in known - {s.stream_id for s in held.live} - held.signalled:
            self._streams.leave(stream_id)
        for row in held.live:
            await self._finish_left_over(row)

    async def _finish_left_over(self, row: StreamRow) -> None:
        ending = self.endings.find(row.stream_id)
        if ending is None:
            is_known = self._streams.find(row.stream_id) is not None
            # A registration that is under way may be given this very stream.
            if is_known or self._streams.is_registering(row.session_id, row.agent_id):
                return
            ending = Ending(
                row.session_id,
                row.agent_id,
                row.stream_id,
                StreamOutcome.ABANDONED,
                _UNTOLD_DETAIL,
            )
            self.endings.add(ending)
        try:
            await self.finish_ending(ending)
        except RefusedError as error:  # of this row, which holds up no other
            logs.reconcile_failed(error)
        finally:
            ending.tried.set()
