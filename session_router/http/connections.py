"""How many connections may be open, and which of them goes when there are too many."""

import resource
from typing import Final, Protocol

from session_router import logs

ACCEPTED_AT_ONCE: Final = 32
"""How many connections the event loop accepts in one round, before it hands on any of them."""
# What was accepted is counted a few rounds later, what was closed gives its file back as late.
_UNCOUNTED: Final = 6 * ACCEPTED_AT_ONCE
_OTHER_FILES: Final = 96  # the database's connections, its files, listeners, the log
_FEWEST: Final = 16
_MOST: Final = 10_000


class Connection(Protocol):
    """A connection that can be closed to make room."""

    def make_room(self) -> None: ...


def limit_of_this_process() -> int:
    """How many connections leave enough of the process's files to all else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST
    return min(max(files - _OTHER_FILES - _UNCOUNTED, _FEWEST), _MOST)


class Connections:
    """The open connections. One too many, and the one that has been waited for longest goes.

    Waited for are those whose request has not come, or not come whole. Where all others are being
    served, the new one goes.

    Args:
        limit: how many may be open.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Connection] = set()
        self._waited_for: dict[Connection, None] = {}
        self._is_full = False

    def enter(self, connection: Connection) -> None:
        """Count a new connection, which is waited for."""
        self._open.add(connection)
        self.wait_for(connection)
        if len(self._open) > self._limit:
            self._tell_once()
            oldest = next(iter(self._waited_for))
            del self._waited_for[oldest]
            oldest.make_room()

    def wait_for(self, connection: Connection) -> None:
        """Its request is not there, or not all of it."""
        self._waited_for.setdefault(connection)

    def serve(self, connection: Connection) -> None:
        """Its request is there."""
        self._waited_for.pop(connection, None)

    def leave(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        self._waited_for.pop(connection, None)
        self._is_full = self._is_full and len(self._open) > self._limit * 0.9

    def _tell_once(self) -> None:
        if not self._is_full:
            self._is_full = True
            logs.connections_full(self._limit)
