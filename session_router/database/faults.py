"""What a driver raises, as this package's errors; told apart by code, never by text."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gaierror
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError, EmulatedDBAPIException, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from session_router.database.sqlite_faults import sqlite_fault
from session_router.errors import (
    ContentionError,
    DatabaseError,
    DatabaseUnavailableError,
    RefusedError,
    SchemaError,
    SessionRouterError,
)
from session_router.logs import explain

# https://www.postgresql.org/docs/15/errcodes-appendix.html
_SCHEMA_CODES: Final = {"3F000", "42P01", "42703", "42883"}
_POOLER_CODES: Final = {"26000", "42P05"}
_READ_ONLY_CODE: Final = "25006"
# Deadlocks and the like, locks that were not to be had: nothing is wrong with the change.
_CONTENTION_CODES: Final = {"40001", "40P01", "55P03"}
_UNAVAILABLE_CLASSES: Final = {"08", "28", "3D", "53", "57"}
# Data, constraints, objects in use: about one change, not about the database.
_REFUSAL_CLASSES: Final = {"22", "23", "40", "55"}
_FATAL: Final = {"FATAL", "PANIC"}
# A server that ends a connection for these has not let it in: passwords, unknown databases, those
# that take no connections, too many, one that starts or stops.
_AT_THE_DOOR: Final = ("28", "3D", "55000", "53300", "57P03")
_SQLITE_SCHEMA_TEXTS: Final = ("no such table", "no such column", "has no column named")

_UPGRADE: Final = "run 'session-router db upgrade', or see 'session-router db check'"


@contextmanager
def translated(*, nothing_written: bool = False) -> Iterator[None]:
    """Raise driver errors from within as `DatabaseError`s that say what to do.

    Args:
        nothing_written: whether it is certain that what fails within has changed nothing: it
            only connects, or is what comes before a COMMIT.

    Raises:
        DatabaseUnavailableError, SchemaError, RefusedError, DatabaseError
    """
    try:
        yield
    except SessionRouterError:
        raise
    except DBAPIError as error:
        raise _translate(error, nothing_written, is_cut=error.connection_invalidated) from error
    except (
        EmulatedDBAPIException,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        sqlite3.Error,
    ) as error:
        raise _translate(error, nothing_written) from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(
            "all database connections are in use; the change was not begun. Try again, or "
            "give the engine a larger pool.",
            nothing_written=True,
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(f"the database operation failed: {error}") from error
    except (ConnectionRefusedError, gaierror, TimeoutError) as error:
        # Only connecting meets these, so nothing was begun.
        raise _unreachable(explain(error), nothing_written=True) from error
    except OSError as error:
        raise _unreachable(explain(error), nothing_written=nothing_written) from error


def driver_error_of(error: BaseException) -> BaseException:
    """The driver's own error, where SQLAlchemy, or `translated`, has put another around it."""
    while True:
        inner = getattr(error, "orig", None)
        if inner is None and isinstance(error, DatabaseError):
            inner = error.__cause__
        if not isinstance(inner, BaseException):
            return error
        error = inner


def condemns_connections(error: BaseException) -> bool:
    """Whether an error says that its connection, and those opened before, are of no more use.

    The server has ended it, or it can only read: a failover has made its server a standby, and
    new connections lead elsewhere.
    """
    cause = driver_error_of(error)
    return _severity_of(cause) in _FATAL or _code_of(cause) == _READ_ONLY_CODE


def _translate(
    error: BaseException, nothing_written: bool, *, is_cut: bool = False
) -> DatabaseError:
    """What a driver raised, or an error of SQLAlchemy's wraps; `is_cut`: the connection is gone."""
    cause = driver_error_of(error)
    if fault := sqlite_fault(cause):
        return fault
    said = " ".join(str(cause).split()) or type(cause).__name__
    if type(cause) is asyncpg.InternalClientError:
        # As when the server has just said goodbye on a connection that was not in use.
        said = f"the connection was lost; asyncpg says: {said}"
    code = _code_of(cause)
    if code in _SCHEMA_CODES or said.startswith(_SQLITE_SCHEMA_TEXTS):
        return SchemaError(f"the database's tables are not this version's ({said}); {_UPGRADE}.")
    if code in _POOLER_CODES:
        return DatabaseError(
            f"a pooler hands out connections by the transaction ({said}); add "
            "?prepared_statement_cache_size=0 to the database URL."
        )
    if code == _READ_ONLY_CODE:
        return _unreachable(said, nothing_written=True)
    is_fatal = _severity_of(cause) in _FATAL
    if is_cut or is_fatal or code[:2] in _UNAVAILABLE_CLASSES or _is_of_the_client(cause, code):
        certain = nothing_written or _has_written_nothing(cause, code, is_fatal=is_fatal)
        return _unreachable(said, nothing_written=certain)
    refusal = f"the database refused the operation ({said}); nothing was written."
    if code in _CONTENTION_CODES:
        return ContentionError(
            f"another change was in the way ({said}); nothing was written. Try again."
        )
    is_about_it = code[:2] in _REFUSAL_CLASSES or type(cause).__name__ in (
        "IntegrityError",
        "DataError",
    )
    return RefusedError(refusal) if is_about_it else DatabaseError(refusal)


def _has_written_nothing(cause: BaseException, code: str, *, is_fatal: bool) -> bool:
    """Whether an error says by itself that the statement, a COMMIT included, has changed nothing.

    What the server refuses it has rolled back. Where it ends the connection, it may just have
    committed. And what asyncpg finds at fault in how it is used was not sent.
    """
    if is_fatal:
        return code.startswith(_AT_THE_DOOR)
    return _severity_of(cause) is not None or isinstance(cause, asyncpg.InterfaceError)


def _severity_of(cause: BaseException) -> str | None:
    """Of an error that the server has told; None of one that is the driver's."""
    return getattr(cause, "severity_en", None) or getattr(cause, "severity", None)


def _code_of(cause: BaseException) -> str:
    return str(getattr(cause, "sqlstate", None) or "")


def _is_of_the_client(cause: BaseException, code: str) -> bool:
    """Whether it is the driver that gave up, since the server has said nothing."""
    if code:
        return False
    return isinstance(cause, asyncpg.InternalClientError) or type(cause).__name__ in (
        "OperationalError",
        "InterfaceError",
        "InternalClientError",
    )


def _unreachable(said: object, *, nothing_written: bool) -> DatabaseUnavailableError:
    became = (
        "nothing was written"
        if nothing_written
        else "a change that was being committed may or may not have happened"
    )
    return DatabaseUnavailableError(
        f"the database cannot be reached or gave up ({said}); {became}. Check the server and the "
        "database URL, then try again.",
        nothing_written=nothing_written,
    )
