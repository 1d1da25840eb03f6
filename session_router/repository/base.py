"""The contract of every repository: what the manager needs, each operation one atomic change."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.doorbell import Doorbell
from session_router.events import SessionEvent, SignalOutcome, StreamOutcome
from session_router.repository.changes import Finish, Register, Start, Touch, WhenBusy
from session_router.repository.records import Requester, Settlement, Signal, StreamRow, WorkerRow
from session_router.session import Session

SIGNALS_READ: Final = 1_000
"""How many signals a worker reads at a time."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What `register_stream` did.

    Attributes:
        stream_id: the stream that is registered now.
        superseded: the signals to the workers whose streams were taken over.
        interrupted: what was stopped for it, where that was asked for.
        is_stopped: whether a stop came first: the stream has begun, and ended, in this change.
    """

    stream_id: UUID
    superseded: list[Signal] = field(default_factory=list)
    interrupted: "StopRequest | None" = None
    is_stopped: bool = False

    @classmethod
    def of(cls, asked: Register, given_way: "StopRequest") -> Self:
        """The stream that was asked for, before which others had to give way."""
        if asked.when_busy is WhenBusy.INTERRUPT and given_way.streams:
            return cls(asked.stream_id, interrupted=given_way)
        return cls(asked.stream_id, given_way.signals)


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
class SweepPosition:
    """Where a sweep's batch ended: the next one starts behind it."""

    last_updated: datetime
    session_id: str


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
    """What workers left behind and was cleared: streams finished, signals settled."""

    streams: int = 0
    signals: int = 0
    workers: int = 0

    def __add__(self, other: "Leftovers") -> "Leftovers":
        return Leftovers(
            self.streams + other.streams,
            self.signals + other.signals,
            self.workers + other.workers,
        )


@dataclass(frozen=True, slots=True)
class WorkerStreams:
    """The streams of one worker: those that are live, and those with an unsettled signal."""

    live: list[StreamRow]
    signalled: set[UUID]


class SessionRepository(ABC):
    """Where sessions, streams, signals and the audit trail are kept.

    Every method is one atomic change, with its events, or one consistent read. Ids have been
    checked before they come here, but for the three published methods, which check their own.

    Raises (any method, where the database is at fault):
        DatabaseUnavailableError: it cannot be reached, or the connection was lost.
        SchemaError: its tables are missing or not this code's.
        DeadlineExceededError: no answer in time; whether the change happened is unknown.
    """

    # The published interface: for imports and tests. The manager never reads, changes and saves.

    @abstractmethod
    async def save_session(self, session: Session) -> None:
        """Write a whole snapshot: its times, and its streaming agents.

        A stream that the snapshot lacks finishes `completed`; one that it adds belongs to no
        worker.
        """

    @abstractmethod
    async def get_session(self, session_id: str) -> Session | None:
        """Read a session, without a touch."""

    @abstractmethod
    async def delete_session(self, session_id: str) -> None:
        """End a session, if it lives."""

    # Reads

    @abstractmethod
    async def find_session(self, session_id: str) -> Session | None:
        """Read a session; never creates or touches one, in no repository."""

    @abstractmethod
    async def list_sessions(self, *, after: str | None = None, limit: int = 100) -> list[Session]:
        """Read live sessions in the order of their ids, from behind `after`."""

    @abstractmethod
    async def list_streams(self, session_id: str) -> list[StreamRow]:
        """Read who streams in a session, in key order."""

    @abstractmethod
    async def list_events(
        self,
        session_id: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        tailing: bool = True,
    ) -> list[SessionEvent]:
        """Read the trail, of one session id or whole, in its order from behind event `after`.

        Events are numbered in another order than their transactions commit in. So who goes on,
        now or later, from the last number of a page is told only what is closed: nothing can
        appear before it any more. As a rule that is all there is; it may wait a moment for
        transactions that are just being committed.

        Args:
            tailing: False for who reads once: all that is committed, at once, though something
                may yet appear in between.

        Raises:
            DatabaseUnavailableError: for a second nothing could be told for a transaction that
                still writes to the trail; the message names its server process.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Ask the database for an answer."""

    # Sessions

    @abstractmethod
    async def touch_session(self, asked: Touch) -> Session | None:
        """Touch a session and read it; None when it does not live."""

    @abstractmethod
    async def start_session(self, asked: Start) -> Session:
        """Get or create a session, and touch it."""

    @abstractmethod
    async def replace_session(self, asked: Start) -> tuple[Session, StopRequest]:
        """Create a fresh session; a live one of that id is replaced, its streams stopped."""

    @abstractmethod
    async def end_session(self, session_id: str, requester: Requester) -> StopRequest | None:
        """End a session and stop its streams; None when it does not live."""

    @abstractmethod
    async def expire_sessions(
        self,
        idle_for: timedelta,
        requester: Requester,
        *,
        limit: int,
        after: SweepPosition | None = None,
    ) -> SweepBatch:
        """Delete up to `limit` sessions whose last touch is longer ago than `idle_for`."""

    # Streams

    @abstractmethod
    async def register_stream(self, asked: Register) -> Registration:
        """Mark an agent as streaming in a worker; creates or touches its session.

        Raises:
            WorkerGoneError: the worker has no row.
            StreamExistsError: a stream of that name was registered before.
            SessionBusyError: streams are in the way, and are not to be taken over.
            In each case nothing was written.
        """

    @abstractmethod
    async def finish_stream(self, asked: Finish) -> UUID | None:
        """End one stream.

        Returns:
            The stream that was ended; None when there was none such.
        """

    @abstractmethod
    async def stream_outcome(self, session_id: str, stream_id: UUID) -> StreamOutcome | None:
        """Read how a stream ended; None where the trail does not say that it did."""

    @abstractmethod
    async def interrupt_streams(
        self, session_id: str, agents: Collection[AgentId] | None, requester: Requester
    ) -> StopRequest | None:
        """Stop a session's streams (or the named agents'); None when it does not live."""

    @abstractmethod
    async def interrupt_stream(
        self, session_id: str, stream_id: UUID, requester: Requester, early_stop: timedelta
    ) -> StreamInterrupt:
        """Stop exactly this stream, also where it is registered only later.

        Args:
            early_stop: how long the stop of a stream holds that was not registered yet.
        """

    @abstractmethod
    async def clear_early_stops(self, older_than: timedelta, *, limit: int) -> int:
        """Delete up to `limit` stops that nobody came for in so long; returns how many."""

    # Workers and their signals

    @abstractmethod
    async def add_worker(self, worker_id: UUID, host: str, pid: int) -> None:
        """Enter a worker, so that it may register streams."""

    @abstractmethod
    async def beat(self, worker_id: UUID) -> datetime | None:
        """Renew a worker's lease; returns the database's time, or None when it has no row."""

    @abstractmethod
    async def heartbeats(self) -> dict[UUID, datetime]:
        """Read each worker's last heartbeat, by the clock that the database had then."""

    @abstractmethod
    async def list_workers(self) -> list[WorkerRow]:
        """Read all workers, the oldest first."""

    @abstractmethod
    async def streams_of_worker(self, worker_id: UUID) -> WorkerStreams | None:
        """Read which streams a worker has; None when the worker has no row."""

    @abstractmethod
    async def remove_worker(self, worker_id: UUID) -> Leftovers:
        """Take a worker out: its streams finish `worker_stopped`, its signals settle `failed`."""

    @abstractmethod
    async def reap_workers(self, silent: Mapping[UUID, datetime]) -> Leftovers:
        """Take out workers that have fallen silent, then clear what the dead left.

        That is all streams and signals whose worker has no row, whoever took the row:
        `worker_lost` and `lost`. Streams of no worker are spared.

        Args:
            silent: workers and their last heartbeats; who has given another one since is spared.
        """

    @abstractmethod
    async def unsettled_signals(self, worker_id: UUID) -> list[Signal]:
        """Read a worker's signals in the order of their making, `SIGNALS_READ` at the most."""

    @abstractmethod
    async def settle_signals(self, settlements: Sequence[Settlement]) -> int:
        """Record what became of signals; those settled before are left. Returns how many."""

    @abstractmethod
    async def signal_outcomes(self, session_id: str, request_id: UUID) -> dict[UUID, SignalOutcome]:
        """Read what became of a request's signals, by stream; unsettled ones are left out."""

    def doorbell(self, worker_id: Callable[[], UUID], ring: Callable[[], None]) -> Doorbell | None:
        """What wakes a worker; None: it polls.

        Args:
            worker_id: gives the present incarnation's id.
            ring: called whenever there may be signals for it.
        """
        return None

    @abstractmethod
    async def close(self) -> None:
        """Let go of what the repository owns; idempotent."""
