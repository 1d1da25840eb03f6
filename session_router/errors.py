"""Every error that this package raises on purpose."""

from collections.abc import Mapping
from typing import Self
from uuid import UUID


class SessionRouterError(Exception):
    """Base of all errors of this package."""


class InvalidValueError(SessionRouterError, ValueError):
    """A value was refused before anything was read or written."""


class InvalidSessionIdError(InvalidValueError):
    """A session id is empty, too long, or not storable text."""


class InvalidAgentIdError(InvalidValueError):
    """An agent's type or key is not acceptable, or the object is no agent id at all."""


class InvalidSettingError(InvalidValueError):
    """A setting, timeout, interval or limit is out of its range."""


class InvalidDatabaseUrlError(InvalidValueError):
    """A database URL cannot be parsed, or names a database that is not supported."""


class AgentNotFoundError(SessionRouterError, LookupError):
    """A runtime hosts no agent of that id."""


class DatabaseError(SessionRouterError):
    """The database refused or failed an operation."""


class DatabaseUnavailableError(DatabaseError):
    """The database cannot be reached, or the connection was lost on the way.

    Over HTTP the same is said of the service.

    Attributes:
        nothing_written: whether it is certain that the operation did not happen.
    """

    def __init__(self, message: str, *, nothing_written: bool = False) -> None:
        super().__init__(message)
        self.nothing_written = nothing_written


class RefusedError(DatabaseError):
    """The database refused a change for its values, or for another that was in its way."""


class ContentionError(RefusedError):
    """Other transactions were in the way: a lock was not to be had in time, or a deadlock ended.

    Nothing was written, and the same may be tried again.
    """


class UnreadableRowError(RefusedError, ValueError):
    """A row, inserted by hand, holds something else where a UUID or a time belongs."""


class SchemaError(DatabaseError):
    """The database's tables are missing, behind, ahead of, or different from this code's."""


class DeadlineExceededError(SessionRouterError, TimeoutError):
    """An operation had no answer within its deadline; whether it happened is unknown.

    Attributes:
        nothing_written: whether it is certain that the operation did not happen.
        in_the_way: what its last attempt met, where other transactions held what it needed.
    """

    nothing_written = False
    in_the_way: ContentionError | None = None

    @classmethod
    def of(cls, deadline_sec: float) -> Self:
        """The error of an operation on the database that took longer than this."""
        return cls(
            f"the database did not answer within {deadline_sec:g} s; whether the operation "
            "happened is unknown. Look before you repeat it, or raise the deadline."
        )

    @classmethod
    def nothing_done(cls, deadline_sec: float, met: ContentionError | None = None) -> Self:
        """The error of an operation that had not begun to commit by then, or only reads.

        Args:
            met: what its last attempt met; None where it found no connection, or no answer.
        """
        why, remedy = "it found no connection, or no answer", ""
        if met is not None:
            why, remedy = f"other transactions were in its way ({met})", "end what holds its rows, "
        error = cls(
            f"the operation was given up after {deadline_sec:g} s, as {why}; nothing was written. "
            f"Try again later, {remedy}or raise the deadline."
        )
        error.nothing_written, error.in_the_way = True, met
        return error


class OverloadedError(SessionRouterError):
    """Too many operations wait for the database already; this one was not begun."""


class WorkerGoneError(SessionRouterError):
    """The worker has no row in `workers` (any more), so it may not register streams."""


class WorkerNotFoundError(WorkerGoneError, LookupError):
    """The worker that a change is asked for by name has no row (any more). Nothing was written.

    Attributes:
        worker_id: the worker.
    """

    worker_id: UUID

    @classmethod
    def of(cls, worker_id: UUID) -> Self:
        """The error of a change by this worker."""
        error = cls(
            f"worker {worker_id} is not there (any more): its lease ran out, or it was stopped; "
            "begin with a new one."
        )
        error.worker_id = worker_id
        return error


class SignalNotFoundError(SessionRouterError, LookupError):
    """A signal that a worker settles is another worker's. Nothing was written.

    Attributes:
        signal_id: the signal.
    """

    signal_id: UUID

    @classmethod
    def of(cls, signal_id: UUID, worker_id: UUID) -> Self:
        """The error of a settlement by this worker."""
        error = cls(
            f"worker {worker_id} has no signal {signal_id}, which is another worker's; nothing "
            "was written. Settle a worker's own signals only."
        )
        error.signal_id = signal_id
        return error


class RequestReusedError(SessionRouterError):
    """The name of this request was given to another one before. Nothing was written."""

    @classmethod
    def of(cls, request_id: UUID) -> Self:
        """The error of a request by this name."""
        return cls(
            f"a request {request_id} was made before, and asked for something else; nothing was "
            "done. Repeat a request as it was, or give it another name."
        )


class RequestUnderWayError(SessionRouterError):
    """The request of this name is being carried out by somebody else. Nothing was written."""

    @classmethod
    def of(cls, request_id: UUID) -> Self:
        """The error of a request by this name."""
        return cls(f"request {request_id} is under way; ask again when it has been carried out.")


class StreamExistsError(SessionRouterError):
    """A stream of that name was registered before; a name is used once. Nothing was written.

    Attributes:
        stream_id: the name.
    """

    stream_id: UUID

    @classmethod
    def of(cls, stream_id: UUID) -> Self:
        """The error of a registration by this name."""
        error = cls(
            f"a stream {stream_id} was registered before, and a name is used once; choose another "
            "one, such as uuid.uuid4()."
        )
        error.stream_id = stream_id
        return error


class StreamStoppedError(SessionRouterError):
    """The stream was stopped before it was registered: it has begun and ended in one moment.

    Attributes:
        stream_id: the stream.
    """

    stream_id: UUID

    @classmethod
    def of(cls, stream_id: UUID) -> Self:
        """The error of a registration that came after its stop."""
        error = cls(
            f"stream {stream_id} was stopped before it was registered, so it must not begin; the "
            "trail tells who asked for that."
        )
        error.stream_id = stream_id
        return error


class SessionBusyError(SessionRouterError):
    """Other streams are in the way of a registration that leaves them alone. Nothing was written.

    Attributes:
        session_id: where they stream.
        streams: the agent of each, as `type/key`, by its `stream_id`, in key order.
    """

    session_id: str
    streams: Mapping[UUID, str]

    @classmethod
    def of(cls, session_id: str, streams: Mapping[UUID, str]) -> Self:
        """The error of a registration that found these streams in its way."""
        error = cls(
            f"session {session_id!a} is busy: {', '.join(streams.values())} "
            f"{'streams' if len(streams) == 1 else 'stream'} in it; wait for the end, or stop "
            "what is in the way."
        )
        error.session_id, error.streams = session_id, streams
        return error


class SessionOwnedError(SessionRouterError):
    """The session lives, and is another owner's. Nothing was written.

    Attributes:
        session_id: the session.
    """

    session_id: str

    @classmethod
    def of(cls, session_id: str) -> Self:
        """The error of a change on behalf of one owner that found another one's session."""
        error = cls(f"session {session_id!a} is another owner's; use another id.")
        error.session_id = session_id
        return error


class KeyRefusedError(SessionRouterError):
    """The service wants a key, does not know this one (any more), or wants one with other scopes.

    Nothing was written. Whoever runs the service makes keys with `session-router keys create`.
    """


class UnsupportedError(SessionRouterError):
    """What only the database's owner can do was asked of a repository that speaks HTTP."""


class EventLoopError(SessionRouterError):
    """A repository or manager is used in two event loops at the same time."""


class OutputError(SessionRouterError):
    """A file, or whoever reads from us, takes no more."""


class ServeError(SessionRouterError):
    """The HTTP service cannot listen on its address."""


def is_outage(error: BaseException) -> bool:
    """Whether an error says of the database, or the service, that it is away or does not answer."""
    if isinstance(error, DeadlineExceededError):
        return error.in_the_way is None
    return isinstance(error, DatabaseUnavailableError)
