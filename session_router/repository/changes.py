"""The changes that callers ask for all the time, each a value: it is made once, and handed down."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.events import StreamOutcome
from session_router.repository.records import Requester

_ALWAYS: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Touch:
    """Touch a session and read it.

    Attributes:
        resolution: a session whose last touch is younger than this is only read.
    """

    session_id: str
    resolution: timedelta = _ALWAYS


@dataclass(frozen=True, slots=True)
class Start:
    """Get or create a session, and touch it; or begin its next life.

    Attributes:
        resolution: as in `Touch`; where a session is created it says nothing.
    """

    session_id: str
    requester: Requester
    resolution: timedelta = _ALWAYS

    @property
    def columns(self) -> dict[str, Any]:
        """What the caller gives of the session's row; repositories add its uid and its times."""
        return {"session_id": self.session_id}


@dataclass(frozen=True, slots=True)
class Register:
    """Mark an agent as streaming in a worker; creates or touches its session.

    Attributes:
        stream_id: the name of the stream that this opens, if it opens one.
        renew: open a new stream even where this worker has one of this agent.
    """

    session_id: str
    agent_id: AgentId
    worker_id: UUID
    stream_id: UUID
    renew: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """End one stream: exactly `stream_id`, or else the one that `worker_id` owns."""

    session_id: str
    agent_id: AgentId
    outcome: StreamOutcome
    stream_id: UUID | None = None
    worker_id: UUID | None = None
    detail: str | None = None
