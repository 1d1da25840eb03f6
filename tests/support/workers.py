"""A worker's parts without its jobs, so that tests say when each does what."""

from uuid import UUID, uuid4

from session_router.agent_id import AgentId
from session_router.repository.base import SessionRepository
from session_router.repository.changes import Register
from session_router.runtime import LocalAgentRuntime
from session_router.worker.delivery import Delivery
from session_router.worker.dispatcher import Dispatcher
from session_router.worker.heartbeat import Heartbeat
from session_router.worker.incarnation import Incarnation
from session_router.worker.jobs import Jobs
from session_router.worker.lease import Lease
from session_router.worker.local_streams import LocalStreams, Stop
from session_router.worker.reconciler import Reconciler
from session_router.worker.registrar import Registrar
from session_router.worker.succession import Succession


class WorkerParts:
    """What a worker is made of; nothing of it runs by itself."""

    def __init__(self, repository: SessionRepository) -> None:
        self.streams = LocalStreams()
        self.incarnation = Incarnation(repository)
        self.reconciler = Reconciler(repository, self.incarnation, self.streams)
        delivery = Delivery(self.streams, LocalAgentRuntime(), 5, self.reconciler)
        self.dispatcher = Dispatcher(repository, self.incarnation, delivery)
        self.succession = Succession(self.incarnation, self.streams, self.dispatcher, None)
        lease = Lease(self.incarnation, Heartbeat(repository, 30, 1_800), self.succession)
        self.registrar = Registrar(
            repository,
            self.incarnation,
            self.streams,
            self.reconciler,
            self.dispatcher,
            Jobs(lease, [], [], repository.outage),
            self.succession,
            give_way_sec=5,
        )

    async def register(
        self,
        session_id: str,
        agent_id: AgentId,
        stream_id: UUID | None = None,
        stop: Stop | None = None,
    ) -> UUID:
        """Register a stream of this worker; returns the one that streams then."""
        asked = Register(
            session_id, agent_id, self.incarnation.worker_id, stream_id or uuid4(), renew=False
        )
        return (await self.registrar.register(asked, agent_id, stop=stop)).stream_id
