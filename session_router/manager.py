"""SessionManager: the use cases."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Self, TypeVar
from uuid import UUID

from session_router.agent_id import AgentId, AgentIdLike
from session_router.checks import as_uuid
from session_router.doorbell import WakeUps
from session_router.errors import InvalidValueError
from session_router.events import StreamOutcome
from session_router.interrupts import Interrupts
from session_router.per_loop import PerLoop
from session_router.repository.base import SessionRepository
from session_router.repository.changes import Finish, Register, Start, Touch, WhenBusy
from session_router.repository.measures import Stock
from session_router.repository.results import Registration
from session_router.runtime import AgentRuntime, LocalAgentRuntime
from session_router.session import Session, check_owner, check_session_id, check_timeout
from session_router.settings import (
    TIMEOUT_LIMIT_MINUTES,
    Tuning,
    check_positive,
    check_resolution,
)
from session_router.stream_ids import new_stream_id
from session_router.text import check_free_text
from session_router.worker.live_stream import LiveStream, quarter_of
from session_router.worker.source import Source
from session_router.worker.stream import AgentStream
from session_router.worker.sweeper import SweepCounts
from session_router.worker.worker import Worker

T = TypeVar("T")


class SessionManager(Interrupts):
    """Which sessions live, which agents stream in them and where; and how to stop them.

    An async context manager: `start()` on the way in, `shutdown()` on the way out. Any number of
    processes may each have one over the same database.

    Args:
        repository: where everything is kept; it stays the caller's to close.
        agent_runtime: what hosts this worker's agents; a `LocalAgentRuntime` when left out.
        session_timeout_minutes: how long a session lives without a touch, above zero. All
            workers on one database use the same.
        cleanup_interval_sec: the pause between two sweeps, in seconds, above zero.
        tuning: the further intervals and limits.

    Attributes:
        rings: called with each other worker that a change made through this has a signal for:
            what serves workers of other processes is told at once.

    Raises:
        InvalidSettingError: a number is out of its range.
    """

    def __init__(
        self,
        repository: SessionRepository,
        agent_runtime: AgentRuntime | None = None,
        session_timeout_minutes: float = 30,
        cleanup_interval_sec: float = 60,
        *,
        tuning: Tuning | None = None,
    ) -> None:
        self.repository = repository
        self.agent_runtime = agent_runtime if agent_runtime is not None else LocalAgentRuntime()
        self._tuning = tuning or Tuning()
        minutes = check_positive(
            session_timeout_minutes, "session_timeout_minutes", at_most=TIMEOUT_LIMIT_MINUTES
        )
        check_resolution(minutes, self._tuning.touch_resolution_sec)
        self._timeout = timedelta(minutes=minutes)
        self._touch_resolution = timedelta(seconds=self._tuning.touch_resolution_sec)
        idle_for = self._timeout + self._touch_resolution
        interval = check_positive(cleanup_interval_sec, "cleanup_interval_sec")
        self.rings: set[Callable[[UUID], None]] = set()
        self._workers = PerLoop(
            lambda: Worker(
                repository,
                self.agent_runtime,
                idle_for,
                interval,
                self._tuning,
                self._ring,
            ),
            lambda worker: None,
            "manager",
        )

    @property
    def _worker(self) -> Worker:
        return self._workers.get()

    @property
    def tuning(self) -> Tuning:
        """The further intervals and limits."""
        return self._tuning

    @property
    def session_timeout(self) -> timedelta:
        """How long a session without a timeout of its own lives after its last touch."""
        return self._timeout

    @property
    def worker_id(self) -> UUID:
        """This worker's present incarnation; another one in a forked child or another loop."""
        return self._workers.peek().incarnation.worker_id

    @property
    def wake_ups(self) -> WakeUps:
        """How this worker learns of its signals at the moment: listening, or polling and why."""
        return self._workers.peek().wake_ups

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()

    async def start(self) -> None:
        """Enter this worker and start the background jobs; does nothing where they run.

        Raises:
            DatabaseError: the database cannot be reached, or its tables are not this version's.
        """
        await self._worker.start()

    async def shutdown(self) -> None:
        """Stop the jobs, end this worker's streams, settle its signals, and give up its row.

        Bounded by `shutdown_timeout_sec`; what could not be done then is in the log, and for the
        other workers to clear. `start()` works again afterwards, as a new worker.
        """
        await self._worker.shutdown()

    async def start_session(
        self,
        session_id: str,
        *,
        owner: str | None = None,
        timeout_minutes: float | None = None,
        actor: str | None = None,
    ) -> Session:
        """Get or create a session, and touch it.

        Args:
            owner: whose it is when it starts, 1 to 255 characters. In this and every other method:
                a live session of another owner is left alone. None: nobody's in particular when it
                starts; and whose a live one is does not matter.
            timeout_minutes: how long it lives without a touch when it starts, above zero; None: as
                long as `session_timeout_minutes` says. A live session keeps what it has.
            actor: who asks, for the audit trail; at most 2,000 characters.

        Raises:
            SessionOwnedError: it lives, and is another owner's.

        Raises (like every method that takes ids):
            InvalidValueError: an id is not acceptable; nothing was read or written.
            OverloadedError: too many operations wait for the database; nothing was written.
            DatabaseError: the database is away, or its tables are not this version's.
            DeadlineExceededError: no answer in time; whether it happened is unknown.
        """
        return await self.repository.start_session(
            self._start(session_id, owner, timeout_minutes, actor, self._touch_resolution)
        )

    async def start_new_session(
        self,
        session_id: str,
        *,
        owner: str | None = None,
        timeout_minutes: float | None = None,
        actor: str | None = None,
        request_id: UUID | str | None = None,
    ) -> Session:
        """Create a fresh session; a live one of that id is replaced, its streams stopped.

        Args:
            owner, timeout_minutes, actor: see `start_session`.
            request_id: a name for the request, such as `uuid.uuid4()`, so that it can be repeated:
                what was done under it is not done again, and the session that it began returned.

        Raises:
            SessionOwnedError: it lives, and is another owner's.
            RequestReusedError: this name was given to another request. Nothing was written.
            RequestUnderWayError: the request is being carried out. Nothing was written.
        """
        asked = replace(
            self._start(session_id, owner, timeout_minutes, actor),
            request_id=None if request_id is None else as_uuid(request_id, "request_id"),
        )
        session, request = await self.repository.replace_session(asked)
        await self._worker.dispatcher.deliver(request.signals)
        return session

    async def get_session(self, session_id: str, *, owner: str | None = None) -> Session | None:
        """Touch a session and read it; None when it does not live. Never creates one.

        Args:
            owner: see `start_session`; another owner's session does not live, for who asks.
        """
        return await self.repository.touch_session(
            Touch(check_session_id(session_id), self._touch_resolution, check_owner(owner))
        )

    async def register_agent(
        self,
        session_id: str,
        agent_id: AgentIdLike,
        *,
        stream_id: UUID | str | None = None,
        when_busy: WhenBusy | str = WhenBusy.TAKE_OVER,
        alone: bool = False,
        owner: str | None = None,
        actor: str | None = None,
    ) -> UUID:
        """Mark an agent as streaming in this worker; creates or touches the session.

        Repeated in the same worker, with the same name if one is given, it changes nothing. What
        is in its way is stopped, or else it is refused; which of the two is decided under the
        session's lock, so of two that refuse each other's exactly one is registered.

        Args:
            agent_id: ours or a runtime's own; the runtime will be asked with this very object.
            stream_id: a name for the stream, never used before, such as `uuid.uuid4()`: so that it
                can be stopped before it begins, see `interrupt_stream`.
            when_busy: what becomes of a stream of this agent in the session: `take_over`: it is
                told to stop, and not waited for; `interrupt`: it is interrupted, and waited for
                until it has stopped, at most `cancel_timeout_sec`; `refuse`: it goes on.
            alone: whether any stream of the session is in the way, not only one of this agent.
            owner, actor: see `start_session`.

        Returns:
            The `stream_id`, which ends exactly this stream.

        Raises:
            StreamExistsError: a stream of this name was registered before.
            StreamStoppedError: the stream was stopped already: it must not begin.
            SessionBusyError: `when_busy` is `refuse`, and streams are in the way.
            SessionOwnedError: the session is another owner's.
        """
        asked = self._registration(session_id, agent_id, stream_id, when_busy, alone, owner, actor)
        return (await self._worker.registrar.register(asked, agent_id)).stream_id

    async def register_remote(
        self,
        worker_id: UUID,
        session_id: str,
        agent_id: AgentIdLike,
        *,
        stream_id: UUID | str | None = None,
        when_busy: WhenBusy | str = WhenBusy.TAKE_OVER,
        alone: bool = False,
        owner: str | None = None,
        actor: str | None = None,
    ) -> Registration:
        """Register a stream of a remote worker, one of its own for each call.

        Args:
            worker_id: the worker.
            stream_id, when_busy, alone, owner, actor: see `register_agent`, which raises the same.

        Returns:
            The stream, with its session's own timeout.

        Raises:
            WorkerNotFoundError: the worker has no row; nothing was written.
        """
        asked = self._registration(session_id, agent_id, stream_id, when_busy, alone, owner, actor)
        asked = replace(asked, worker_id=worker_id, renew=True)
        return await self._worker.registrar.register_remote(asked)

    async def unmark_agent_streaming(
        self,
        session_id: str,
        agent_id: AgentIdLike,
        stream_id: UUID | str | None = None,
        *,
        owner: str | None = None,
    ) -> None:
        """End a stream as `completed`; one that has ended is no error.

        Args:
            stream_id: ends exactly that stream, from any worker; left out, this worker's own
                stream of the agent.
            owner: see `get_session`.
        """
        worker = self._worker
        await worker.reconciler.finish(
            Finish(
                check_session_id(session_id),
                AgentId.of(agent_id),
                StreamOutcome.COMPLETED,
                None if stream_id is None else as_uuid(stream_id, "stream_id"),
                worker.incarnation.worker_id,
                owner=check_owner(owner),
            )
        )

    async def end_session(
        self,
        session_id: str,
        *,
        actor: str | None = None,
        reason: str | None = None,
        owner: str | None = None,
    ) -> bool:
        """End a session: its streams are stopped, their agents removed, its row is gone.

        Args:
            actor, reason: see `interrupt_streaming_agents`.
            owner: see `get_session`.

        Returns:
            Whether there was such a session.
        """
        request = await self.repository.end_session(
            check_session_id(session_id), self._requester(actor, reason), owner=check_owner(owner)
        )
        if request is None:
            return False
        await self._worker.dispatcher.deliver(request.signals)
        return True

    async def expire_old_sessions(self) -> SweepCounts:
        """Delete every session that is idle longer than its timeout, and stop its streams.

        Where the database's clock was set forward while this worker ran, as by a failover to a
        server with another one, no session expires early for that: for the length of the
        timeout all expire by as much later. A worker that started after such a step
        cannot know of it, and goes by the database's clock.
        """
        return await self._worker.sweeper.run_once()

    async def stock(self) -> Stock | None:
        """Count what is there now, in all workers; None where that cannot be known here."""
        lease = timedelta(seconds=self._tuning.lease_sec)
        idle_for = self._timeout + self._touch_resolution
        return await self.repository.stock(idle_for, self._touch_resolution, lease)

    def stream(
        self,
        session_id: str,
        agent_id: AgentIdLike,
        source: Source[T],
        *,
        on_stop: Callable[[], object] | None = None,
        stream_id: UUID | str | None = None,
        when_busy: WhenBusy | str = WhenBusy.TAKE_OVER,
        alone: bool = False,
        owner: str | None = None,
    ) -> AgentStream[T]:
        """Make any agent stoppable: iterate `source` through this, and it is a stream.

        It opens a stream of its own, superseding an older one of the agent; it ends when it is
        interrupted from any worker, even while the source hangs; it keeps the session touched
        while items flow; it always unregisters.

        A source that is left before its end, wherever it stands, is cancelled at its innermost
        wait; see `AgentStream`. One that did not close within `cancel_timeout_sec` fails the
        signal that was to stop it. Threads that it has started run on.

        Args:
            source: any async iterable. It is iterated in one task and, whatever its end, closed
                there with its iterator: by `aclose()`, or by `close()` where it has no other.
                Or a callable without arguments that opens it, called in that task after the
                registration: it returns an async iterable, an awaitable of one, or an async
                context manager that gives one, which is then left in that task, too, with the
                error or cancellation that ended the iteration; what it returns at that is not
                looked at.
            on_stop: called, and awaited where it is a coroutine function, whenever an opened
                source is left before its end, before it is cancelled: for what is behind the
                source and has a way of its own to be stopped. It has half of
                `cancel_timeout_sec`; taking longer, or raising, fails the signal.
            stream_id, when_busy, alone, owner: see `register_agent`, whose errors `start()` or the
                first item raises. Where the stream was stopped already there is no item, and the
                source is not opened; with `interrupt` it is opened when what was in the way has
                stopped.

        Returns:
            An async iterator of the source's items, with `start()`, `aclose()`, `stream_id` and
            `outcome`.
        """
        return AgentStream(
            LiveStream(
                source,
                on_stop,
                self._workers.get,
                replace(
                    self._registration(session_id, agent_id, stream_id, when_busy, alone, owner),
                    renew=True,
                ),
                agent_id,
                touch_every_sec=quarter_of(self._timeout),
                close_limit_sec=self._tuning.cancel_timeout_sec,
            )
        )

    def _start(
        self,
        session_id: str,
        owner: str | None,
        timeout_minutes: float | None,
        actor: str | None,
        resolution: timedelta = timedelta(0),
    ) -> Start:
        minutes = check_timeout(timeout_minutes)
        shortest = 2 * self._touch_resolution
        if minutes is not None and timedelta(minutes=minutes) <= shortest:
            raise InvalidValueError(
                f"timeout_minutes {minutes:g} is too short for a touch resolution of "
                f"{self._tuning.touch_resolution_sec:g} s; give more than twice that."
            )
        return Start(
            check_session_id(session_id),
            self._requester(actor, None),
            resolution,
            check_owner(owner),
            minutes,
        )

    def _ring(self, worker_id: UUID) -> None:
        for ring in self.rings:
            ring(worker_id)

    def _registration(
        self,
        session_id: str,
        agent_id: AgentIdLike,
        stream_id: UUID | str | None,
        when_busy: WhenBusy | str,
        alone: bool,
        owner: str | None,
        actor: str | None = None,
    ) -> Register:
        return Register(
            check_session_id(session_id),
            AgentId.of(agent_id),
            self.worker_id,
            new_stream_id() if stream_id is None else as_uuid(stream_id, "stream_id"),
            renew=False,
            is_named=stream_id is not None,
            when_busy=_as_when_busy(when_busy),
            alone=alone,
            early_stop=timedelta(seconds=self._tuning.early_stop_sec),
            owner=check_owner(owner),
            actor=check_free_text(actor, "actor"),
        )


def _as_when_busy(value: WhenBusy | str) -> WhenBusy:
    try:
        return WhenBusy(value)
    except ValueError:
        raise InvalidValueError(
            f"when_busy {value!a} is none of {', '.join(WhenBusy)}; give one of these."
        ) from None
