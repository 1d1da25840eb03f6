"""What the command line exits with, and which error leads to which code: all in one place."""

from enum import IntEnum
from typing import Final

from session_router.errors import (
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    SchemaError,
    SessionRouterError,
)


class UnknownSessionError(SessionRouterError, LookupError):
    """A command names a session that does not live, or that nothing is known of."""


class UnknownKeyError(SessionRouterError, LookupError):
    """A command names a key that is not there."""


class UnknownHookError(SessionRouterError, LookupError):
    """A command names a hook that is not there."""


class MissingExtraError(SessionRouterError, ImportError):
    """A command needs packages that are installed by an extra only."""


class ExitCode(IntEnum):
    """How a command ended; part of the interface, as scripts rely on it."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    UNAVAILABLE = 3
    SCHEMA = 4
    CANCELLED = 130


MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.FAULT: "something is wrong: no such session, differences found, the port is taken",
    ExitCode.USAGE: "the command, a value or a setting is not acceptable; nothing was done",
    ExitCode.UNAVAILABLE: "the database cannot be reached, or did not answer in time",
    ExitCode.SCHEMA: "the database has no tables, or not those of this version",
    ExitCode.CANCELLED: "stopped by Ctrl-C (serve ends with 0)",
}


def exit_code_of(error: Exception) -> ExitCode:
    """The code for an error that ends a command."""
    match error:
        case InvalidValueError():
            return ExitCode.USAGE
        case DatabaseUnavailableError() | DeadlineExceededError() | TimeoutError():
            return ExitCode.UNAVAILABLE
        case SchemaError():
            return ExitCode.SCHEMA
        case _:
            return ExitCode.FAULT


def unknown_session(session_id: str) -> UnknownSessionError:
    """The error of a command about a session that does not live."""
    return UnknownSessionError(
        f"no session {session_id!a} lives. 'session-router sessions list' shows those that do; "
        "'session-router events' tells how one ended."
    )
