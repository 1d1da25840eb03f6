"""What a driver raises, as this package's errors; told apart by code, never by text."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from socket import gaierror
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from session_router.errors import DatabaseError, DatabaseUnavailableError, RefusedError, SchemaError
from session_router.logs import explain

# https://www.postgresql.org/docs/15/errcodes-appendix.html
_SCHEMA_CODES: Final = {"3F000", "42P01", "42703", "42883"}
_POOLER_CODES: Final = {"26000", "42P05"}
_UNAVAILABLE_CLASSES: Final = {"08", "28", "3D", "53", "57"}
# Data, constraints, deadlocks and the like, locks: about one change, not about the database.
_REFUSAL_CLASSES: Final = {"22", "23", "40", "55"}
_SQLITE_SCHEMA_TEXTS: Final = ("no such table", "no such column", "has no column named")

_UPGRADE: Final = "run 'session-router db upgrade', or see 'session-router db check'"


@contextmanager
def translated() -> Iterator[None]:
    """Raise driver errors from within as `DatabaseError`s that say what to do.

    Raises:
        DatabaseUnavailableError, SchemaError, DatabaseError
    """
    try:
        yield
    except DBAPIError as error:
        raise _translate(error.orig, is_cut=error.connection_invalidated) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error) as error:
        raise _translate(error) from error
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
        raise DatabaseUnavailableError(
            f"the database cannot be reached ({explain(error)}); nothing was written. Check the "
            "server and the database URL, then try again.",
            nothing_written=True,
        ) from error
    except OSError as error:
        raise _unreachable(error) from error


def _translate(cause: BaseException | None, *, is_cut: bool = False) -> DatabaseError:
    """What a driver raised, or an error of SQLAlchemy's wraps; `is_cut`: the connection is gone."""
    said = " ".join(str(cause).split()) or type(cause).__name__
    code = str(getattr(cause, "sqlstate", None) or "")
    if code in _SCHEMA_CODES or said.startswith(_SQLITE_SCHEMA_TEXTS):
        return SchemaError(f"the database's tables are not this version's ({said}); {_UPGRADE}.")
    if code in _POOLER_CODES:
        return DatabaseError(
            f"a pooler hands out connections by the transaction ({said}); add "
            "?prepared_statement_cache_size=0 to the database URL."
        )
    if is_cut or code[:2] in _UNAVAILABLE_CLASSES:
        return _unreachable(said)
    if not code and type(cause).__name__ in ("OperationalError", "InterfaceError"):
        return _unreachable(said)
    refusal = f"the database refused the operation ({said}); nothing was written."
    is_about_it = code[:2] in _REFUSAL_CLASSES or type(cause).__name__ in (
        "IntegrityError",
        "DataError",
    )
    return RefusedError(refusal) if is_about_it else DatabaseError(refusal)


def _unreachable(said: object) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"the database cannot be reached or gave up ({said}); a change that was being committed "
        "may or may not have happened. Check the server and the database URL, then try again."
    )
