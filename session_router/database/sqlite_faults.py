"""What SQLite says, as this package's errors; told apart by its result codes."""

import sqlite3

from session_router.errors import DatabaseError, DatabaseUnavailableError

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "another program holds the database file for long, a shell or a backup, "
    "or this process was forked while its parent wrote; let it end, then try again",
    sqlite3.SQLITE_LOCKED: "another connection holds what is needed; try again",
    sqlite3.SQLITE_READONLY: "the database file can only be read here; let this user write both "
    "the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "the database file, or what SQLite keeps beside it, cannot be opened; "
    "look at their owners and modes, and at those of the folder",
    sqlite3.SQLITE_FULL: "there is no space left on the device; make some, then try again",
}
_DAMAGED = {
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; name another file",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged; restore it from a backup",
}


def sqlite_fault(cause: BaseException | None) -> DatabaseError | None:
    """The error that `cause` amounts to; None: its code tells nothing about the file as a whole.

    Whoever writes has the turn, and SQLite's own lock from the first statement on. So what these
    codes say is met before anything has been committed.
    """
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the rest is detail
    if remedy := _UNAVAILABLE.get(code):
        return DatabaseUnavailableError(
            f"nothing was written ({cause}): {remedy}.", nothing_written=True
        )
    if remedy := _DAMAGED.get(code):
        return DatabaseError(f"nothing was written ({cause}): {remedy}.")
    return None
