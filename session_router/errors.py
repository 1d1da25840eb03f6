"""Every error that this package raises on purpose."""

from typing import Self


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
    """

    nothing_written = False

    @classmethod
    def of(cls, deadline_sec: float) -> Self:
        """The error of an operation on the database that took longer than this."""
        return cls(
            f"the database did not answer within {deadline_sec:g} s; whether the operation "
            "happened is unknown. Look before you repeat it, or raise the deadline."
        )

    @classmethod
    def nothing_done(cls, deadline_sec: float, met: ContentionError | None) -> Self:
        """The error of an operation that had not begun by then, or had been rolled back.

        Args:
            met: what its last attempt met; None where it had found no connection.
        """
        why = f"other transactions were in its way ({met})" if met else "it found no connection"
        error = cls(
            f"the operation was given up after {deadline_sec:g} s, as {why}; nothing was written. "
            "Try again later, end what holds its rows, or raise the deadline."
        )
        error.nothing_written = True
        return error


class OverloadedError(SessionRouterError):
    """Too many operations wait for the database already; this one was not begun."""


class WorkerGoneError(SessionRouterError):
    """The worker has no row in `workers` (any more), so it may not register streams."""


class EventLoopError(SessionRouterError):
    """A repository or manager is used in two event loops at the same time."""


class OutputError(SessionRouterError):
    """A file, or whoever reads from us, takes no more."""


class ServeError(SessionRouterError):
    """The HTTP service cannot listen on its address."""
