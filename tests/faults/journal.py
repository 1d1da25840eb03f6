"""What a worker of the storm asked for, what it was answered, and what its log said.

A line of JSON each, in a file of the worker's own, written before the call and after it: a
process that is killed takes nothing with it that it had written. Times are this machine's, which
are the database's, too.
"""

import json
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

from session_router import SessionRouterError, errors

Entry = dict[str, Any]

_OF_SOURCES: Final = "source_close_failed"
"""The event that tells of an error of the user's own source: whatever that raises."""
_NAMED_ERROR: Final = re.compile(r"error=['\"]?(\w+)")


class Journal:
    """Appends entries to a worker's file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, **facts: Any) -> None:
        line = json.dumps({"at": time.time(), "what": what, **facts}, default=str)
        os.write(self._file, f"{line}\n".encode())


def entries(path: Path) -> list[Entry]:
    """What a worker has written so far."""
    lines = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or not whole


def is_ours(name: str, kind: type[SessionRouterError] = SessionRouterError) -> bool:
    """Whether the package has an error of this name, and of this kind."""
    found = getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, kind)


_OF_ASYNCPG: Final = "unexpected connection_lost() call"
"""A future of asyncpg's own, which awaits it no more where connecting is given up: told to nobody
but the log, when it is collected. Nothing of this package meets it."""


class LogToJournal(logging.Handler):
    """Notes warnings and errors; `raw` tells that a foreign error came through to the log."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        trace = self.format(record) if record.exc_info else None
        self._journal.write(
            "logged",
            level=record.levelname,
            event=said.split(" ", 1)[0] if record.name == "session_router" else record.name,
            raw=_is_raw(record, said),
            message=said[:500],
            trace=trace,
        )


def _is_raw(record: logging.LogRecord, said: str) -> bool:
    if record.exc_info and _OF_ASYNCPG in str(record.exc_info[1]):
        return False
    if record.name != "session_router":
        return True  # a driver, SQLAlchemy, asyncio or Python itself complains
    if said.startswith(_OF_SOURCES):
        return False
    named = _NAMED_ERROR.search(said)
    return record.exc_info is not None or (named is not None and not is_ours(named[1]))


def note_all_logs(journal: Journal) -> None:
    """Let everything that goes wrong beside the calls, and is told somewhere, be noted."""
    logging.getLogger().addHandler(LogToJournal(journal))
    logging.captureWarnings(True)

    def unraisable(hooked: "sys.UnraisableHookArgs") -> None:
        error = hooked.exc_value
        logging.getLogger("unraisable").error("%r in %r", error, hooked.object, exc_info=error)

    sys.unraisablehook = unraisable
