"""What callers ask of the hot operations: each an item of a batch, that can also go alone."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.schema import Tables
from session_router.events import StreamOutcome
from session_router.repository.base import Registration
from session_router.repository.records import Requester
from session_router.repository.sql import sessions, streams
from session_router.session import Session


@dataclass(frozen=True, slots=True)
class Touch:
    """Touch and read a session."""

    session_id: str
    resolution: timedelta

    async def alone(self, conn: AsyncConnection, t: Tables) -> Session | None:
        row = await sessions.touch(conn, t, self.session_id)
        return None if row is None else await sessions.snapshot(conn, t, row)


@dataclass(frozen=True, slots=True)
class Start:
    """Get or create a session, and touch it."""

    session_id: str
    resolution: timedelta
    requester: Requester

    async def alone(self, conn: AsyncConnection, t: Tables) -> Session:
        row = await sessions.start(conn, t, self.session_id, self.requester)
        return await sessions.snapshot(conn, t, row)


@dataclass(frozen=True, slots=True)
class Register:
    """Mark an agent as streaming in a worker."""

    session_id: str
    agent_id: AgentId
    worker_id: UUID
    stream_id: UUID
    renew: bool

    async def alone(self, conn: AsyncConnection, t: Tables) -> Registration:
        return await streams.register(
            conn, t, self.session_id, self.agent_id, self.worker_id, self.stream_id, self.renew
        )


@dataclass(frozen=True, slots=True)
class Finish:
    """End a stream: exactly `stream_id`, or else the one that `worker_id` owns."""

    session_id: str
    agent_id: AgentId
    outcome: StreamOutcome
    stream_id: UUID | None
    worker_id: UUID | None
    detail: str | None

    async def alone(self, conn: AsyncConnection, t: Tables) -> UUID | None:
        return await streams.finish(
            conn,
            t,
            self.session_id,
            self.agent_id,
            self.outcome,
            self.stream_id,
            self.worker_id,
            self.detail,
        )
