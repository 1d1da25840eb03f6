"""What the operations of a repository answer."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.events import SignalOutcome
from session_router.repository.changes import Register, SweepPosition, WhenBusy
from session_router.repository.records import ReapedWorker, SessionRow, Signal, StreamRow

SIGNALS_READ: Final = 1_000
"""How many signals a worker reads at a time."""
UNDELIVERED_TOLD: Final = 1_000
"""How many signals that did not stop their streams are told of one request."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What `register_stream` did.

    Attributes:
        stream_id: the stream that is registered now.
        superseded: the signals to the workers whose streams were taken over.
        interrupted: what was stopped for it, where that was asked for.
        is_stopped: whether a stop came first: the stream has begun, and ended, in this change.
        timeout_minutes: the session's own timeout.
    """

    stream_id: UUID
    superseded: list[Signal] = field(default_factory=list)
    interrupted: "StopRequest | None" = None
    is_stopped: bool = False
    timeout_minutes: float | None = None

    @classmethod
    def of(cls, asked: Register, session: SessionRow, given_way: "StopRequest") -> Self:
        """The stream that was asked for, before which others had to give way."""
        minutes = session.timeout_minutes
        if asked.when_busy is WhenBusy.INTERRUPT and given_way.streams:
            return cls(asked.stream_id, interrupted=given_way, timeout_minutes=minutes)
        return cls(asked.stream_id, given_way.signals, timeout_minutes=minutes)


@dataclass(frozen=True, slots=True)
class StopRequest:
    """What a request to stop a session's streams did.

    Attributes:
        request_id: names the request in signals and events.
        streams: those that were taken out and are told to stop, in key order.
        signals: the unsettled ones, one to the worker of each stream.
        outcomes: what became of each agent's signal, None while that is open; None where nobody
            waited for it.
    """

    request_id: UUID
    streams: list[StreamRow] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    outcomes: dict[AgentId, SignalOutcome | None] | None = None

    @property
    def agents(self) -> list[AgentId]:
        """Whose streams they are, in key order."""
        return [stream.agent_id for stream in self.streams]


class Found(StrEnum):
    """What the stop of one stream found: it streams, has ended, or was not registered yet."""

    LIVE = "live"
    OVER = "over"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True)
class StreamInterrupt:
    """What the stop of one stream did.

    Attributes:
        found: `live`, and it is told to stop; `over`, and there is nothing to do; or `ahead`: a
            registration of that name ends at once.
        request_id: names the request in the signal and in events.
        agent_id: whose stream it is; None where that is not known.
        signals: the unsettled one, to the stream's worker.
        outcome: what became of it; None while that is open, and where nobody waited for it.
    """

    found: Found
    request_id: UUID
    agent_id: AgentId | None = None
    signals: list[Signal] = field(default_factory=list, repr=False)
    outcome: SignalOutcome | None = None


@dataclass(frozen=True, slots=True)
class MatchCount:
    """How many streams a filter matches, and in how many sessions."""

    sessions: int
    streams: int


@dataclass(frozen=True, slots=True)
class InterruptBatch:
    """What one batch of an interrupt of many sessions did.

    Attributes:
        sessions: how many sessions it has stopped streams of.
        streams: how many streams it has stopped.
        signals: the unsettled ones, to the workers of the streams.
        position: the session that the next batch starts behind; None when this was the last.
    """

    sessions: int
    streams: int
    signals: list[Signal]
    position: str | None


@dataclass(frozen=True, slots=True)
class BulkInterrupt:
    """What an interrupt of many sessions has told to stop.

    Attributes:
        request_id: names the request in signals and events; see `SessionManager.receipts`.
        sessions: in how many sessions.
        streams: how many streams.
    """

    request_id: UUID
    sessions: int = 0
    streams: int = 0


@dataclass(frozen=True, slots=True)
class UndeliveredSignal:
    """A signal that was settled, and did not stop its stream."""

    session_id: str
    agent_id: AgentId
    stream_id: UUID
    outcome: SignalOutcome
    detail: str | None

    @classmethod
    def of(cls, settled: Any) -> Self:
        """From an event, or its row."""
        agent_id = AgentId.stored(settled.agent_type, settled.agent_key)
        outcome = SignalOutcome(settled.outcome)
        return cls(settled.session_id, agent_id, settled.stream_id, outcome, settled.detail)


@dataclass(frozen=True, slots=True)
class Receipts:
    """What became of all signals of one request so far.

    Attributes:
        requested_at: when it was asked for.
        delivered, failed, lost, open: how many signals.
        undelivered: those that failed or are lost, the oldest first, 1,000 at the most.
    """

    request_id: UUID
    requested_at: datetime
    delivered: int = 0
    failed: int = 0
    lost: int = 0
    open: int = 0
    undelivered: list[UndeliveredSignal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SweepBatch:
    """What one transaction of a sweep did.

    Attributes:
        sessions: how many sessions it deleted.
        streams: how many streams it stopped for that.
        signals: the signals to the workers of those streams.
        position: where to go on; None when nothing is left to look at.
    """

    sessions: int
    streams: int
    signals: list[Signal]
    position: SweepPosition | None


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What workers left behind and was cleared: streams finished, signals settled.

    Attributes:
        workers: how many rows of workers were deleted.
        reaped: whose these were, where they had fallen silent.
    """

    streams: int = 0
    signals: int = 0
    workers: int = 0
    reaped: tuple[ReapedWorker, ...] = field(default=(), compare=False)

    def __add__(self, other: "Leftovers") -> "Leftovers":
        return Leftovers(
            self.streams + other.streams,
            self.signals + other.signals,
            self.workers + other.workers,
            self.reaped + other.reaped,
        )


@dataclass(frozen=True, slots=True)
class WorkerStreams:
    """The streams of one worker: those that are live, and those with an unsettled signal."""

    live: list[StreamRow]
    signalled: set[UUID]
