"""The changes that callers ask for all the time, each a value: it is made once, and handed down."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID, uuid4

from session_router.agent_id import AgentId
from session_router.errors import SessionBusyError
from session_router.events import StreamOutcome
from session_router.repository.records import Requester, StreamRow

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
        request_id: the name that the caller gave the request, see `Stop.once`; None: none.
    """

    session_id: str
    requester: Requester
    resolution: timedelta = _ALWAYS
    request_id: UUID | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What the caller gives of the session's row; repositories add its uid and its times."""
        return {"session_id": self.session_id}

    @property
    def once(self) -> bool:
        """As in `Stop`."""
        return self.request_id is not None

    @property
    def fingerprint(self) -> str:
        """Tells this request from others of the same name, whichever worker carries it out."""
        return fingerprint_of("start", self.columns, self.requester.actor)


class WhenBusy(StrEnum):
    """What a registration does about streams that are in its way."""

    TAKE_OVER = "take_over"
    REFUSE = "refuse"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Register:
    """Mark an agent as streaming in a worker; creates or touches its session.

    Attributes:
        stream_id: the name of the stream that this opens, if it opens one.
        renew: open a new stream even where this worker has one of this agent, or of this name.
        is_named: whether the caller chose the name: it is used once, and may be stopped already.
        when_busy: what becomes of streams in the way.
        alone: any stream of the session is in the way, and not only one of the same agent.
        early_stop: how long a stop that came before its stream holds.
    """

    session_id: str
    agent_id: AgentId
    worker_id: UUID
    stream_id: UUID
    renew: bool
    is_named: bool = False
    when_busy: WhenBusy = WhenBusy.TAKE_OVER
    alone: bool = False
    early_stop: timedelta = timedelta(seconds=600)

    def is_repetition_of(self, stream: StreamRow) -> bool:
        """Whether the stream is what this asks for, and there is nothing left to do."""
        if self.renew or (stream.worker_id, stream.agent_id) != (self.worker_id, self.agent_id):
            return False
        return not self.is_named or stream.stream_id == self.stream_id

    def check_free(self, in_the_way: Sequence[StreamRow]) -> None:
        """Raise SessionBusyError where streams are in the way that are not to give way."""
        if in_the_way and self.when_busy is WhenBusy.REFUSE:
            agents = {stream.stream_id: str(stream.agent_id) for stream in in_the_way}
            raise SessionBusyError.of(self.session_id, agents)


@dataclass(frozen=True, slots=True)
class StreamFilter:
    """Which streams are meant: those for which all holds that is given.

    Attributes:
        agent_type: the type of their agents.
        worker_id: the worker that they stream in.
        older_than: how long ago they began at the least.
    """

    agent_type: str | None = None
    worker_id: UUID | None = None
    older_than: timedelta | None = None

    @property
    def columns(self) -> list[str | float | None]:
        """All of it, as JSON has it."""
        worker_id = None if self.worker_id is None else str(self.worker_id)
        age = None if self.older_than is None else self.older_than.total_seconds()
        return [self.agent_type, worker_id, age]

    def matches(self, stream: StreamRow, now: datetime) -> bool:
        """Whether the stream is meant."""
        return (
            self.agent_type in (None, stream.agent_id.type)
            and self.worker_id in (None, stream.worker_id)
            and (self.older_than is None or stream.started_at < now - self.older_than)
        )


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are meant: those for which all holds that is given.

    Attributes:
        prefix: how their ids begin.
        agent_type: an agent of this type streams in it.
        worker_id: an agent, of that type, streams in it in this worker.
        streaming: whether anything streams in it.
        idle_for: how long ago the last touch is at the least.
    """

    prefix: str | None = None
    agent_type: str | None = None
    worker_id: UUID | None = None
    streaming: bool | None = None
    idle_for: timedelta | None = None


EVERY_SESSION: Final = SessionFilter()


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a session's streams, and end the session or not.

    Attributes:
        agents: only these agents' streams; None: all.
        matching: only these streams, and where there are none, nothing is written; None: all.
        request_id: names the request in signals and events.
        once: whether the caller chose that name: what was done under it is not done again, but
            told again.
    """

    session_id: str
    requester: Requester
    agents: Collection[AgentId] | None = None
    matching: StreamFilter | None = None
    request_id: UUID = field(default_factory=uuid4)
    once: bool = False

    @classmethod
    def of(
        cls,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        request_id: UUID | None,
    ) -> Self:
        """An interrupt, under the name that the caller gave it, if it has one."""
        once = request_id is not None
        return cls(session_id, requester, agents, None, request_id or uuid4(), once)

    @property
    def fingerprint(self) -> str:
        """As in `Start`."""
        agents = None if self.agents is None else sorted(map(str, self.agents))
        asker = self.requester
        return fingerprint_of("stop", self.session_id, agents, asker.actor, asker.reason)

    def is_for(self, stream: StreamRow, now: datetime) -> bool:
        """Whether it stops this stream of its session."""
        if self.matching is not None and not self.matching.matches(stream, now):
            return False
        return self.agents is None or stream.agent_id in self.agents


@dataclass(frozen=True, slots=True)
class StopStream:
    """Stop exactly one stream, also where it is registered only later.

    Attributes:
        early_stop: how long the stop of a stream holds that was not registered yet.
        request_id, once: as in `Stop`.
    """

    session_id: str
    stream_id: UUID
    requester: Requester
    early_stop: timedelta
    request_id: UUID = field(default_factory=uuid4)
    once: bool = False

    @property
    def fingerprint(self) -> str:
        """As in `Start`."""
        asker, stream_id = self.requester, str(self.stream_id)
        return fingerprint_of("stop stream", self.session_id, stream_id, asker.actor, asker.reason)


@dataclass(frozen=True, slots=True)
class Finish:
    """End one stream: exactly `stream_id`, or else the one that `worker_id` owns."""

    session_id: str
    agent_id: AgentId
    outcome: StreamOutcome
    stream_id: UUID | None = None
    worker_id: UUID | None = None
    detail: str | None = None


def fingerprint_of(*asked: object) -> str:
    """A digest of what is asked for, of texts, numbers and the like."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
