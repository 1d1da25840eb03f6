"""Registers streams of this worker."""

from dataclasses import replace

from session_router.agent_id import AgentIdLike
from session_router.errors import StreamStoppedError, WorkerGoneError
from session_router.repository.base import SessionRepository
from session_router.repository.changes import Register
from session_router.repository.results import Registration
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.incarnation import Incarnation
from session_router.worker.jobs import Jobs
from session_router.worker.local_streams import LocalStreams, Stop
from session_router.worker.receipts import receipts
from session_router.worker.reconciler import Reconciler
from session_router.worker.succession import Succession


class Registrar:
    """Keeps what streams here and what is registered in step, through a reaping as well.

    Args:
        repository: where the streams' rows are.
        incarnation: whose streams; it is entered where it was not.
        streams: what streams here.
        reconciler: knows which streams have just ended here.
        dispatcher: stops those of this worker that are taken over.
        jobs: those that a worker with streams needs; they are started.
        succession: goes on as a new incarnation where this one is gone.
        give_way_sec: how long a registration waits at the most for streams that it interrupts.
    """

    def __init__(
        self,
        repository: SessionRepository,
        incarnation: Incarnation,
        streams: LocalStreams,
        reconciler: Reconciler,
        dispatcher: Dispatcher,
        jobs: Jobs,
        succession: Succession,
        give_way_sec: float,
    ) -> None:
        self._repository = repository
        self._incarnation = incarnation
        self._streams = streams
        self._reconciler = reconciler
        self._dispatcher = dispatcher
        self._jobs = jobs
        self._succession = succession
        self._give_way_sec = give_way_sec

    async def register(
        self, asked: Register, given_id: AgentIdLike, *, stop: Stop | None = None
    ) -> Registration:
        """Register a stream of this worker, as a new incarnation where the row is gone.

        Args:
            asked: by this worker's present incarnation, entered or not.
            given_id: the id object to ask the runtime with.
            stop: what stops the stream, where it is not the runtime.

        Returns:
            The stream of the agent that streams here now.

        Raises:
            StreamStoppedError: its stop came first.
        """
        stream_id = asked.stream_id
        is_new = self._streams.find(stream_id) is None
        try:
            with self._streams.registering(asked.session_id, stream_id, given_id, stop):
                registration = await self._register_beside(asked)
                await self._let_give_way(asked.session_id, registration)
        except BaseException:
            if is_new:
                self._streams.leave(stream_id)
            self._reconciler.doubt()  # the row may be there, or come yet
            raise
        if registration.stream_id != stream_id:
            self._streams.leave(stream_id)
            self._streams.enter(registration.stream_id, given_id, stop)
        return registration

    async def register_remote(self, asked: Register) -> Registration:
        """Register a stream of a remote worker, which is told to stop by way of its signals.

        Raises:
            WorkerNotFoundError: that worker has no row; nothing was written.
            StreamStoppedError: its stop came first.
        """
        registration = await self._repository.register_stream(asked)
        await self._let_give_way(asked.session_id, registration)
        return registration

    async def _let_give_way(self, session_id: str, registration: Registration) -> None:
        """Have this worker's streams stopped that give way; wait for those that are interrupted.

        Whoever takes a stream over does not wait for the old one to close.
        """
        if registration.is_stopped:
            raise StreamStoppedError.of(registration.stream_id)
        self._dispatcher.begin(registration.superseded)
        if registration.interrupted is not None:
            self._dispatcher.begin(registration.interrupted.signals)
            await receipts(
                self._repository, session_id, registration.interrupted, self._give_way_sec
            )

    async def _register_beside(self, asked: Register) -> Registration:
        """Register beside streams of the agent that have just ended here.

        They must not be taken over, nor be taken for the one that is to be registered.
        """
        endings = self._reconciler.endings
        if not await endings.wait(asked.session_id, asked.agent_id, besides=asked.stream_id):
            asked = replace(asked, renew=True)
        registration = await self._register(asked)
        found = registration.stream_id
        if found != asked.stream_id and endings.find(found) is not None:
            return await self._register(replace(asked, renew=True))
        return registration

    async def _register(self, asked: Register) -> Registration:
        while True:
            worker_id = await self._incarnation.enter()
            self._jobs.start_serving()
            if asked.worker_id != worker_id:  # another incarnation by now
                asked = replace(asked, worker_id=worker_id)
            try:
                registration = await self._repository.register_stream(asked)
            except WorkerGoneError:
                await self._succession.begin_anew(worker_id)
                continue
            if worker_id != self._incarnation.worker_id:
                raise WorkerGoneError(
                    f"worker {worker_id} was reaped, or shut down, in the moment in which it "
                    "registered a stream; register it again."
                )
            return registration
