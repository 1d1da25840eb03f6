"""Which remote workers are connected to this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from session_router.manager import SessionManager
from session_router.remote.connection import Connection
from session_router.remote.lookout import Lookout
from session_router.repository.records import Signal


class Hub:
    """Hands out to connections what one lookout finds for all of them.

    The lookout begins with the first connection, and ends with the last one.

    Args:
        manager: whose changes it is told of at once.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._connections: dict[UUID, set[Connection]] = {}
        self._lookout: Lookout | None = None
        self._is_closed = False

    @asynccontextmanager
    async def connected(self, worker_id: UUID) -> AsyncIterator[Connection]:
        """A connection of the worker, for the length of the block."""
        connection = Connection(worker_id, self.look_at)
        if self._is_closed:
            connection.end()
        self._enter(connection)
        try:
            yield connection
        finally:
            await self._leave(connection)

    def look_at(self, worker_id: UUID) -> None:
        """Look for this worker's signals now, if it is connected."""
        if self._lookout is not None and worker_id in self._connections:
            self._lookout.look_at(worker_id)

    def close(self) -> None:
        """End all connections, and those that come yet."""
        self._is_closed = True
        for connections in self._connections.values():
            for connection in connections:
                connection.end()

    def _enter(self, connection: Connection) -> None:
        self._connections.setdefault(connection.worker_id, set()).add(connection)
        if self._lookout is None:
            self._lookout = Lookout(
                self._manager.repository,
                self._manager.tuning,
                self._connections.keys,
                self._ready,
                self._hand_out,
            )
            self._lookout.start()
            self._manager.rings.add(self.look_at)
        self._lookout.follow()
        self._lookout.look_at(connection.worker_id)

    async def _leave(self, connection: Connection) -> None:
        of_worker = self._connections[connection.worker_id]
        of_worker.discard(connection)
        if not of_worker:
            del self._connections[connection.worker_id]
        lookout = self._lookout
        if lookout is None or self._connections:
            if lookout is not None:
                lookout.follow()
            return
        self._manager.rings.discard(self.look_at)
        self._lookout = None
        await lookout.stop()

    def _ready(self) -> list[UUID]:
        return [
            worker_id
            for worker_id, connections in self._connections.items()
            if any(connection.is_free for connection in connections)
        ]

    def _hand_out(self, worker_id: UUID, unsettled: list[Signal] | None) -> None:
        for connection in self._connections.get(worker_id, ()):
            connection.offer(unsettled)
