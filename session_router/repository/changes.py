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
from session_router.errors import SessionBusyError, SessionOwnedError
from session_router.events import StreamOutcome
from session_router.repository.records import Requester, StreamRow

_ALWAYS: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Touch:
    """Touch a session and read it.

    Attributes:
        resolution: a session whose last touch is younger than this is only read.
        owner: only a session of this owner is meant; None: anybody's. So in every change.
    """

    session_id: str
    resolution: timedelta = _ALWAYS
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Get or create a session, and touch it; or begin its next life.

    Attributes:
        resolution: as in `Touch`; where a session is created it says nothing.
        owner: of the session that begins; a live one of another owner is refused.
        timeout_minutes: of the session that begins; a live one keeps its own.
        request_id: the name that the caller gave the request, see `Stop.once`; None: none.
    """

    session_id: str
    requester: Requester
    resolution: timedelta = _ALWAYS
    owner: str | None = None
    timeout_minutes: float | None = None
    request_id: UUID | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What the caller gives of the session's row; repositories add its uid and its times."""
        return {
            "session_id": self.session_id,
            "owner": self.owner,
            "timeout_minutes": self.timeout_minutes,
        }

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
        actor: who asks, for the events of what begins.
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
    owner: str | None = None
    actor: str | None = None

    @property
    def start(self) -> Start:
        """The start of its session, which is a part of it."""
        requester = Requester(self.worker_id, self.actor)
        return Start(self.session_id, requester, owner=self.owner)

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
        owner: whose sessions they are of.
    """

    agent_type: str | None = None
    worker_id: UUID | None = None
    older_than: timedelta | None = None
    owner: str | None = None

    @property
    def columns(self) -> list[str | float | None]:
        """All of it, as JSON has it."""
        worker_id = None if self.worker_id is None else str(self.worker_id)
        age = None if self.older_than is None else self.older_than.total_seconds()
        return [self.agent_type, worker_id, age, self.owner]

    def matches(self, stream: StreamRow, now: datetime) -> bool:
        """Whether the stream is meant, in a session that is."""
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
        owner: whose it is.
    """

    prefix: str | None = None
    agent_type: str | None = None
    worker_id: UUID | None = None
    streaming: bool | None = None
    idle_for: timedelta | None = None
    owner: str | None = None


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
    owner: str | None = None
    once: bool = False

    @classmethod
    def of(
        cls,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        request_id: UUID | None,
        owner: str | None = None,
    ) -> Self:
        """An interrupt, under the name that the caller gave it, if it has one."""
        once, name = request_id is not None, request_id or uuid4()
        return cls(session_id, requester, agents, request_id=name, owner=owner, once=once)

    @property
    def fingerprint(self) -> str:
        """As in `Start`."""
        agents = None if self.agents is None else sorted(map(str, self.agents))
        asker = self.requester
        return fingerprint_of(
            "stop", self.session_id, self.owner, agents, asker.actor, asker.reason
        )

    def is_for(self, stream: StreamRow, now: datetime) -> bool:
        """Whether it stops this stream of its session."""
        if self.matching is not None and not self.matching.matches(stream, now):
            return False
        return self.agents is None or stream.agent_id in self.agents


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete sessions that were not touched for too long, a batch of them.

    Attributes:
        idle_for: how long that is, for those without a timeout of their own.
        grace: by how much longer than their own timeout the others live.
        limit: how many it deletes at the most.
        after: where the batch before ended.
    """

    idle_for: timedelta
    grace: timedelta
    requester: Requester
    limit: int
    after: "SweepPosition | None" = None

    @property
    def is_of_own(self) -> bool:
        """Whether it is of those that have a timeout of their own."""
        return self.after is not None and self.after.has_own

    def position(self, swept: int, moment: datetime, session_id: str) -> "SweepPosition | None":
        """Where to go on behind the last session of so many that this batch has deleted."""
        if swept == self.limit:
            return SweepPosition(moment, session_id, self.is_of_own)
        return self.end

    @property
    def end(self) -> "SweepPosition | None":
        """Where to go on when nothing is left here: with those that have their own timeouts."""
        return None if self.is_of_own else OWN_TIMEOUTS


@dataclass(frozen=True, slots=True)
class SweepPosition:
    """Where a sweep's batch ended: the next one starts behind it.

    Attributes:
        moment: the last touch of the batch's last session; or when it expired, among those that
            have a timeout of their own, which are swept after all others. None: before these.
        session_id: that session.
        has_own: whether it is among these.
    """

    moment: datetime | None
    session_id: str
    has_own: bool = False


OWN_TIMEOUTS: Final = SweepPosition(None, "", has_own=True)
"""Where the sweep of those begins that have a timeout of their own."""


@dataclass(frozen=True, slots=True)
class BulkStop:
    """Stop the streams of many sessions.

    Attributes:
        matching: which.
        dry_run: only count them.
        request_id: the name that the caller gave the request, see `Stop.once`; None: none.
    """

    matching: StreamFilter
    requester: Requester
    dry_run: bool = False
    request_id: UUID | None = None


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
    owner: str | None = None
    request_id: UUID = field(default_factory=uuid4)
    once: bool = False

    @property
    def fingerprint(self) -> str:
        """As in `Start`."""
        asker, stream_id = self.requester, str(self.stream_id)
        return fingerprint_of(
            "stop stream", self.session_id, self.owner, stream_id, asker.actor, asker.reason
        )


@dataclass(frozen=True, slots=True)
class Finish:
    """End one stream: exactly `stream_id`, or else the one that `worker_id` owns.

    Attributes:
        is_fenced: only where the worker owns the stream that is named, and has a row.
    """

    session_id: str
    agent_id: AgentId
    outcome: StreamOutcome
    stream_id: UUID | None = None
    worker_id: UUID | None = None
    detail: str | None = None
    owner: str | None = None
    is_fenced: bool = False


Change = Touch | Start | Register | Stop | StopStream | Finish


def refuse(asked: Change) -> None:
    """What becomes of a change of another owner's session, which does not live for who asks.

    Raises:
        SessionOwnedError: it would begin something, and its id is taken.
    """
    if isinstance(asked, Start | Register | StopStream):
        raise SessionOwnedError.of(asked.session_id)


def fingerprint_of(*asked: object) -> str:
    """A digest of what is asked for, of texts, numbers and the like."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
