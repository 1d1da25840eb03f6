"""The worker: this process's incarnation, and what streams in it."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID, uuid4

from session_router import logs
from session_router.agent_id import AgentId, AgentIdLike
from session_router.errors import RefusedError, WorkerGoneError
from session_router.events import SIGNALLED_OUTCOMES, StreamOutcome
from session_router.repository.base import Registration, SessionRepository
from session_router.repository.records import Requester, StreamRow
from session_router.text import with_storable
from session_router.worker.endings import Ending, Endings
from session_router.worker.local_streams import LocalStream, LocalStreams, Stop

_UNTOLD_DETAIL: Final = "registered, but its caller could not be told in time"


class Incarnation:
    """Enters this process among the workers when it is first needed, and registers its streams.

    Args:
        repository: where the workers' rows are.
        streams: what streams here; kept in step with what is registered.
        on_reaped: called when the worker was found reaped, with the streams that it has lost.

    Attributes:
        endings: the streams of `stream()` that have ended here, until that is written.
    """

    def __init__(
        self,
        repository: SessionRepository,
        streams: LocalStreams,
        on_reaped: Callable[[list[LocalStream]], None],
    ) -> None:
        self._repository = repository
        self._streams = streams
        self._on_reaped = on_reaped
        self.endings = Endings()
        self._registering: dict[UUID, tuple[str, AgentId]] = {}
        self._worker_id = uuid4()
        self._is_entered = False
        self._was_tried = False
        self._is_leaving = False
        self._was_in_doubt = False
        self._entering = asyncio.Lock()

    @property
    def worker_id(self) -> UUID:
        """The present incarnation, entered or yet to be."""
        return self._worker_id

    async def enter(self) -> UUID:
        """Enter the worker's row, unless that is done; returns its id."""
        async with self._entering:
            if self._is_leaving:
                raise WorkerGoneError(
                    f"worker {self._worker_id} is shutting down and registers nothing more; "
                    "use another worker, or this one after its shutdown."
                )
            if not self._is_entered:
                self._was_tried = True  # the row may be there though no answer came
                await self._repository.add_worker(
                    self._worker_id, socket.gethostname(), os.getpid()
                )
                self._is_entered = True
                logs.worker_started(self._worker_id)
            return self._worker_id

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Enter nothing within the block, so that no late registration brings the worker back."""
        self._is_leaving = True
        try:
            yield
        finally:
            self._is_leaving = False

    async def leave(self) -> None:
        """Give up the row, with the streams and signals that are left; a new id is drawn."""
        async with self._entering:
            if not self._was_tried:
                return
            gone = self._worker_id
            self._draw_id()
        cleared = await self._repository.remove_worker(gone)
        logs.worker_stopped(gone, cleared.streams, cleared.signals)

    async def begin_anew(self, reaped: UUID) -> None:
        """Go on as a new incarnation: the streams of the one that was reaped are lost."""
        async with self._entering:
            if reaped != self._worker_id:
                return
            self._draw_id()
        lost = [s for s in self._streams.all() if s.stream_id not in self._registering]
        logs.worker_gone(reaped)
        logs.worker_lost_streams(reaped, len(lost))
        self._on_reaped(lost)
        await self.enter()

    async def register(
        self,
        session_id: str,
        given_id: AgentIdLike,
        stream_id: UUID,
        *,
        renew: bool,
        stop: Stop | None = None,
    ) -> Registration:
        """Register a stream of this worker, as a new incarnation where the row is gone.

        Args:
            given_id: the id object to ask the runtime with.
            renew: open a new stream even where this worker has one of this agent.
            stop: what stops the stream, where it is not the runtime.
        """
        agent_id = AgentId.of(given_id)
        self._streams.enter(stream_id, given_id, stop)
        self._registering[stream_id] = (session_id, agent_id)
        try:
            registration = await self._register_beside(session_id, agent_id, stream_id, renew)
        except BaseException:
            self._streams.leave(stream_id)
            self._was_in_doubt = True  # the row may be there, or come yet
            raise
        finally:
            del self._registering[stream_id]
        if registration.stream_id != stream_id:
            self._streams.leave(stream_id)
            self._streams.enter(registration.stream_id, given_id, stop)
        return registration

    async def finish(
        self,
        session_id: str,
        agent_id: AgentId,
        outcome: StreamOutcome,
        *,
        stream_id: UUID | None = None,
        detail: str | None = None,
    ) -> bool:
        """End exactly `stream_id`, of whichever worker, or else this worker's own stream.

        Returns:
            Whether there was such a stream.
        """
        worker_id = None if stream_id else self._worker_id
        ended = await with_storable(
            lambda told: self._repository.finish_stream(
                session_id,
                agent_id,
                outcome,
                stream_id=stream_id,
                worker_id=worker_id,
                detail=told,
            ),
            detail,
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
        if not await self.finish(
            ending.session_id,
            ending.agent_id,
            ending.outcome,
            stream_id=ending.stream_id,
            detail=ending.detail,
        ):
            written = await self._repository.stream_outcome(ending.session_id, ending.stream_id)
        if written is not None:
            self.endings.remove(ending.stream_id)
            if written not in SIGNALLED_OUTCOMES:  # of the others, a signal comes yet
                self._streams.leave(ending.stream_id)
        return written

    async def reconcile(self) -> None:
        """Bring what streams here in line with the database, in both directions.

        A stream that was ended by way of another worker, as behind a load balancer, is forgotten.
        A row is finished whose stream has ended here, or that nobody here knows, since its caller
        was told that the outcome is unknown.
        """
        worker_id = self._worker_id
        known = {s.stream_id for s in self._streams.all()} - self._registering.keys()
        # A registration in doubt may commit at any later time, so the doubt stays.
        if not (known or self.endings or self._was_in_doubt):
            return
        held = await self._repository.streams_of_worker(worker_id)
        if held is None or worker_id != self._worker_id:
            return  # reaped: the heartbeat finds out, or has, and they are cancelled
        for stream_id in known - {s.stream_id for s in held.live} - held.signalled:
            self._streams.leave(stream_id)
        for row in held.live:
            await self._finish_left_over(row)

    async def _finish_left_over(self, row: StreamRow) -> None:
        ending = self.endings.find(row.stream_id)
        if ending is None:
            agent = (row.session_id, row.agent_id)
            is_known = self._streams.find(row.stream_id) is not None
            # A registration that is under way may be given this very stream.
            if is_known or agent in self._registering.values():
                return
            ending = Ending(*agent, row.stream_id, StreamOutcome.ABANDONED, _UNTOLD_DETAIL)
            self.endings.add(ending)
        try:
            await self.finish_ending(ending)
        except RefusedError as error:  # of this row, which holds up no other
            logs.reconcile_failed(error)
        finally:
            ending.tried.set()

    def requester(self, actor: str | None = None, reason: str | None = None) -> Requester:
        """This worker as the one who asks for a change."""
        return Requester(self._worker_id, actor, reason)

    async def _register_beside(
        self, session_id: str, agent_id: AgentId, stream_id: UUID, renew: bool
    ) -> Registration:
        """Register beside streams of the agent that have just ended here.

        They must not be taken over, nor be taken for the one that is to be registered.
        """
        is_free = await self.endings.wait(session_id, agent_id, besides=stream_id)
        renew = renew or not is_free
        registration = await self._register(session_id, agent_id, stream_id, renew)
        found = registration.stream_id
        if found != stream_id and self.endings.find(found) is not None:
            return await self._register(session_id, agent_id, stream_id, renew=True)
        return registration

    async def _register(
        self, session_id: str, agent_id: AgentId, stream_id: UUID, renew: bool
    ) -> Registration:
        while True:
            worker_id = await self.enter()
            try:
                registration = await self._repository.register_stream(
                    session_id, agent_id, worker_id, stream_id, renew=renew
                )
            except WorkerGoneError:
                await self.begin_anew(worker_id)
                continue
            if worker_id != self._worker_id:
                raise WorkerGoneError(
                    f"worker {worker_id} was reaped, or shut down, in the moment in which it "
                    "registered a stream; register it again."
                )
            return registration

    def _draw_id(self) -> None:
        """The next incarnation, yet to be entered; what the last one left, others clear."""
        self._worker_id = uuid4()
        self._is_entered = self._was_tried = self._was_in_doubt = False
