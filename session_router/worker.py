"""The worker: this process's incarnation, and what streams in it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from session_router import logs
from session_router.agent_id import AgentId, AgentIdLike
from session_router.errors import WorkerGoneError
from session_router.events import StreamOutcome
from session_router.repository.base import Registration, SessionRepository
from session_router.repository.records import Asker
from session_router.signals.local_streams import LocalStream, LocalStreams


class Worker:
    """Enters this process among the workers when it is first needed, and registers its streams.

    Args:
        repository: where the workers' rows are.
        streams: what streams here; kept in step with what is registered.
        on_reaped: called when the worker was found reaped, with the streams that it has lost.
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
        self._registering: set[UUID] = set()
        self._worker_id = uuid4()
        self._is_entered = False
        self._was_tried = False
        self._is_leaving = False
        self._is_in_doubt = False
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
            gone, self._worker_id = self._worker_id, uuid4()
            self._is_entered = self._was_tried = False
        cleared = await self._repository.remove_worker(gone)
        logs.worker_stopped(gone, cleared.streams, cleared.signals)

    async def begin_anew(self, reaped: UUID) -> None:
        """Go on as a new incarnation: the streams of the one that was reaped are lost."""
        async with self._entering:
            if reaped != self._worker_id:
                return
            self._worker_id, self._is_entered, self._was_tried = uuid4(), False, False
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
        stop: Callable[[], Awaitable[None]] | None = None,
    ) -> Registration:
        """Register a stream of this worker, as a new incarnation where the row is gone.

        Args:
            given_id: the id object to ask the runtime with.
            renew: open a new stream even where this worker has one of this agent.
            stop: what stops the stream, where it is not the runtime.
        """
        self._streams.enter(stream_id, given_id, stop)
        self._registering.add(stream_id)
        try:
            registration = await self._register(session_id, given_id, stream_id, renew)
        except BaseException:
            self._streams.leave(stream_id)
            self._is_in_doubt = True  # the row may be there, or come yet
            raise
        finally:
            self._registering.discard(stream_id)
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
    ) -> None:
        """End exactly `stream_id`, of whichever worker, or else this worker's own stream."""
        ended = await self._repository.finish_stream(
            session_id,
            agent_id,
            outcome,
            stream_id=stream_id,
            worker_id=None if stream_id else self._worker_id,
            detail=detail,
        )
        if ended is not None:
            self._streams.leave(ended)

    async def reconcile(self) -> None:
        """Bring what streams here in line with the database, in both directions.

        A stream that was ended by way of another worker, as behind a load balancer, is forgotten.
        One that was registered though its caller was told that the outcome is unknown, and that
        nobody here knows, is finished as abandoned.
        """
        known = {s.stream_id for s in self._streams.all()} - self._registering
        if not (known or self._is_in_doubt):
            return
        held = await self._repository.streams_of_worker(self._worker_id)
        if held is None:
            return  # reaped: the heartbeat will find out, and cancel them
        for stream_id in known - {s.stream_id for s in held.live} - held.signalled:
            self._streams.leave(stream_id)
        if self._registering:
            return  # whose outcome is not known yet
        self._is_in_doubt = False
        for stream in held.live:
            if self._streams.find(stream.stream_id) is None:
                await self._repository.finish_stream(
                    stream.session_id,
                    stream.agent_id,
                    StreamOutcome.ABANDONED,
                    stream_id=stream.stream_id,
                    detail="registered, but its caller could not be told in time",
                )

    def asker(self, actor: str | None = None, reason: str | None = None) -> Asker:
        """This worker as the one who asks for a change."""
        return Asker(self._worker_id, actor, reason)

    async def _register(
        self, session_id: str, given_id: AgentIdLike, stream_id: UUID, renew: bool
    ) -> Registration:
        while True:
            worker_id = await self.enter()
            try:
                registration = await self._repository.register_stream(
                    session_id, AgentId.of(given_id), worker_id, stream_id, renew=renew
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
