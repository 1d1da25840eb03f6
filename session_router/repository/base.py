"""The contract of every repository: what the manager needs, each operation one atomic change."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.doorbell import Doorbell, ToldBy
from session_router.events import SessionEvent, SignalOutcome, StreamOutcome
from session_router.outages import Outage, outage_of
from session_router.repository.changes import (
    EVERY_SESSION,
    Finish,
    Register,
    SessionFilter,
    Start,
    StopStream,
    StreamFilter,
    SweepPosition,
    Touch,
)
from session_router.repository.measures import Load, Stock, Tally
from session_router.repository.records import Requester, Settlement, Signal, StreamRow, WorkerRow
from session_router.repository.results import (
    InterruptBatch,
    Leftovers,
    MatchCount,
    Receipts,
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
    WorkerStreams,
)
from session_router.session import Session


class SessionRepository(ABC):
    """Where sessions, streams, signals and the audit trail are kept.

    Every method is one atomic change, with its events, or one consistent read. Ids have been
    checked before they come here, but for the three published methods, which check their own.

    Raises (any method, where the database is at fault):
        DatabaseUnavailableError: it cannot be reached, or the connection was lost.
        SchemaError: its tables are missing or not this code's.
        DeadlineExceededError: no answer in time; whether the change happened is unknown.

    Attributes:
        is_cleaned_by_workers: whether those who use it sweep and reap; else somebody does it who
            has the database.
        heartbeat_interval_sec: how often a worker must renew its lease; None: as it is tuned.
    """

    is_cleaned_by_workers: bool = True
    heartbeat_interval_sec: float | None = None

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
    async def list_sessions(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        matching: SessionFilter = EVERY_SESSION,
    ) -> list[Session]:
        """Read the live sessions that are meant, in the order of their ids, from behind `after`."""

    @abstractmethod
    async def list_streams(self, session_id: str, owner: str | None = None) -> list[StreamRow]:
        """Read who streams in a session, that owner's if one is given, in key order."""

    @abstractmethod
    async def list_events(
        self,
        session_id: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        tailing: bool = True,
        owner: str | None = None,
    ) -> list[SessionEvent]:
        """Read the trail, of one session id or whole, in its order from behind event `after`.

        Events are numbered in another order than their transactions commit in. So who goes on,
        now or later, from the last number of a page is told only what is closed: nothing can
        appear before it any more. As a rule that is all there is; it may wait a moment for
        transactions that are just being committed.

        Args:
            owner: only the lives that were this owner's; None: anybody's.
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
    async def end_session(
        self, session_id: str, requester: Requester, *, owner: str | None = None
    ) -> StopRequest | None:
        """End a session and stop its streams; None when it does not live, or not for that owner."""

    @abstractmethod
    async def expire_sessions(
        self,
        idle_for: timedelta,
        requester: Requester,
        *,
        grace: timedelta = timedelta(0),
        limit: int,
        after: SweepPosition | None = None,
    ) -> SweepBatch:
        """Delete up to `limit` sessions that were not touched for too long.

        Args:
            idle_for: how long that is, for those without a timeout of their own.
            grace: by how much longer than their own timeout the others live.
        """

    # Streams

    @abstractmethod
    async def register_stream(self, asked: Register) -> Registration:
        """Mark an agent as streaming in a worker; creates or touches its session.

        Raises:
            WorkerNotFoundError: the worker has no row.
            StreamExistsError: a stream of that name was registered before.
            SessionBusyError: streams are in the way, and are not to be taken over.
            SessionOwnedError: the session is another owner's than the one that is given.
            In each case nothing was written.
        """

    @abstractmethod
    async def finish_stream(self, asked: Finish) -> UUID | None:
        """End one stream.

        Returns:
            The stream that was ended; None when there was none such.

        Raises:
            WorkerNotFoundError: `asked` is fenced, and its worker has no row; nothing was written.
        """

    @abstractmethod
    async def stream_outcome(self, session_id: str, stream_id: UUID) -> StreamOutcome | None:
        """Read how a stream ended; None where the trail does not say that it did."""

    @abstractmethod
    async def interrupt_streams(
        self,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        *,
        owner: str | None = None,
        request_id: UUID | None = None,
    ) -> StopRequest | None:
        """Stop a session's streams (or the named agents'); None as for `end_session`.

        Args:
            request_id: the name that the caller gave the request. What was done under it is not
                done again, but told again; so it is with changes that have such a name.

        Raises:
            RequestReusedError: it was given to another request before.
            RequestUnderWayError: the request is being carried out.
        """

    @abstractmethod
    async def count_streams(self, matching: StreamFilter) -> MatchCount:
        """Count the streams that are meant."""

    @abstractmethod
    async def interrupt_matching(
        self,
        matching: StreamFilter,
        requester: Requester,
        request_id: UUID,
        *,
        limit: int,
        after: str | None = None,
    ) -> InterruptBatch:
        """Stop the streams that are meant, of up to `limit` sessions in the order of their ids.

        Each session is locked at its turn, and what is registered there afterwards is not hit.

        Args:
            request_id: the same for all batches of one request.
            after: the session that the batch before has ended with.
        """

    @abstractmethod
    async def begin_request(self, request_id: UUID, fingerprint: str) -> bool:
        """Begin a request of many changes that a caller named, or go on with one that was left.

        Args:
            fingerprint: tells it from others of the same name.

        Returns:
            Whether it is to be carried out; False: it was.

        Raises:
            RequestReusedError, RequestUnderWayError: as `interrupt_streams`.
        """

    @abstractmethod
    async def advance_request(self, request_id: UUID, *, is_over: bool) -> None:
        """Say that a request that was begun goes on, for half a minute at least, or is done."""

    @abstractmethod
    async def count_interrupted(self, request_id: UUID, *, owner: str | None = None) -> MatchCount:
        """Count the streams that a request has told to stop, by the trail.

        Args:
            owner: only those in this owner's sessions; None: in anybody's.
        """

    @abstractmethod
    async def receipts(self, request_id: UUID, *, owner: str | None = None) -> Receipts | None:
        """Read what became of a request, of whichever kind; None when the trail has none such.

        Args:
            owner: as for `count_interrupted`.
        """

    @abstractmethod
    async def interrupt_stream(self, asked: StopStream) -> StreamInterrupt:
        """Stop exactly one stream, also where it is registered only later."""

    @abstractmethod
    async def clear_early_stops(self, older_than: timedelta, *, limit: int) -> int:
        """Delete up to `limit` stops that nobody came for in so long; returns how many."""

    # Workers and their signals

    @property
    def outage(self) -> Outage:
        """Tells of the times when what this repository works on is away."""
        return outage_of(type(self).__name__)

    def speak_for(self, worker_id: UUID) -> None:  # noqa: B027 - not all have connections to name
        """Have connections, as the database lists them, named by the worker that uses them."""

    @abstractmethod
    async def add_worker(
        self,
        worker_id: UUID,
        host: str,
        pid: int,
        key_id: str | None = None,
        version: str | None = None,
    ) -> UUID:
        """Enter a worker, so that it may register streams.

        Args:
            key_id: whose key enters it over HTTP.
            version: of this package, in a process on this database; reports tell it.

        Returns:
            Its id: this one, unless somebody else chooses it.
        """

    @abstractmethod
    async def beat(self, worker_id: UUID) -> datetime | None:
        """Renew a worker's lease; returns the database's time, or None when it has no row."""

    @abstractmethod
    async def note_wake_ups(self, worker_id: UUID, told_by: ToldBy) -> bool:
        """Keep how a worker learns of its signals now; returns whether it has a row."""

    @abstractmethod
    async def heartbeats(self) -> dict[UUID, datetime]:
        """Read each worker's last heartbeat, by the clock that the database had then."""

    @abstractmethod
    async def list_workers(self) -> list[WorkerRow]:
        """Read all workers, the oldest first."""

    @abstractmethod
    async def find_worker(self, worker_id: UUID) -> WorkerRow | None:
        """Read a worker; None when it has no row."""

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
    async def unsettled_signals_of(self, worker_ids: Collection[UUID]) -> dict[UUID, list[Signal]]:
        """Read the signals of many workers at once, of each as `unsettled_signals` does.

        Returns:
            The signals of each worker that has a row.
        """

    @abstractmethod
    async def settle_signals(
        self, settlements: Sequence[Settlement], *, worker_id: UUID | None = None
    ) -> int:
        """Record what became of signals; those settled before are left. Returns how many.

        Args:
            worker_id: whose signals they must be, and whose row must be there; left out, they may
                be anybody's.

        Raises:
            WorkerNotFoundError: that worker has no row.
            SignalNotFoundError: one of the signals is another worker's.
            In each case nothing was written.
        """

    @abstractmethod
    async def signal_outcomes(self, session_id: str, request_id: UUID) -> dict[UUID, SignalOutcome]:
        """Read what became of a request's signals, by stream; unsettled ones are left out."""

    def doorbell(
        self, worker_ids: Callable[[], Collection[UUID]], ring: Callable[[UUID], None]
    ) -> Doorbell | None:
        """What wakes workers, one or many; None: they poll.

        Args:
            worker_ids: gives whom it is for at the moment.
            ring: called with a worker whenever there may be signals for it.
        """
        return None

    # What is measured

    async def stock(self, idle_for: timedelta, grace: timedelta, lease: timedelta) -> Stock | None:
        """Count what is there now; None where that cannot be known here.

        The cost has a bound: what there is much of is an estimate.

        Args:
            idle_for, grace: see `expire_sessions`.
            lease: how long a worker without a heartbeat is taken for alive.
        """
        return None

    async def tally(self, after: int | None) -> Tally | None:
        """Count what has happened by the trail, at most `EVENTS_AT_ONCE` events of it.

        As `list_events` with `tailing`: who goes on from `until` misses nothing.

        Args:
            after: only the events behind this one; None: none of those until now.

        Returns:
            The counts; None where they cannot be known here.
        """
        return None

    def load(self) -> Load:
        """What waits for group commit in this process, and what that has done; from any thread."""
        return Load()

    @abstractmethod
    async def close(self) -> None:
        """Let go of what the repository owns; idempotent."""
