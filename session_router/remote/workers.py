"""The use cases of remote workers: they enter, beat, stream, are told to stop, and settle that."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

from session_router import logs
from session_router.errors import (
    ContentionError,
    InvalidValueError,
    RefusedError,
    WorkerNotFoundError,
)
from session_router.manager import SessionManager
from session_router.remote.connection import Connection
from session_router.remote.hub import Hub
from session_router.repository.changes import Finish
from session_router.repository.records import Settlement
from session_router.text import check_name, in_ascii, with_storable

_OWNERS_KNOWN: Final = 10_000


class RemoteWorkers:
    """Workers that call a service in place of the database, as rows like those of any worker.

    What a worker that is gone asks for raises WorkerNotFoundError, and nothing is written.

    Args:
        manager: of the service.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._repository = manager.repository
        self._hub = Hub(manager)
        self._owners: OrderedDict[UUID, str | None] = OrderedDict()

    async def enter(self, host: str, pid: int, key_id: str | None) -> UUID:
        """Enter a worker, with a fresh lease; returns its id.

        Args:
            host: where it runs, 1 to 255 characters.
            key_id: whose it is; None where no key is asked for.

        Raises:
            InvalidValueError: the host is not storable text of that length.
        """
        worker_id = uuid4()
        check_name(host, "host", InvalidValueError)
        await self._repository.add_worker(worker_id, host, pid, key_id)
        await self._repository.note_wake_ups(worker_id, "service")
        self._know(worker_id, key_id)
        logs.worker_started(worker_id)
        return worker_id

    async def owner_of(self, worker_id: UUID) -> str | None:
        """Whose key has entered a worker. Neither changes, so it is asked for once in a while."""
        if worker_id not in self._owners:
            worker = await self._repository.find_worker(worker_id)
            if worker is None:
                raise WorkerNotFoundError.of(worker_id)
            self._know(worker_id, worker.key_id)
        return self._owners[worker_id]

    async def beat(self, worker_id: UUID) -> None:
        """Renew a worker's lease."""
        if await self._repository.beat(worker_id) is None:
            raise WorkerNotFoundError.of(worker_id)

    def connected(self, worker_id: UUID) -> AbstractAsyncContextManager[Connection]:
        """What tells a worker its signals, for the length of the block."""
        return self._hub.connected(worker_id)

    async def settle(self, worker_id: UUID, settlements: Sequence[Settlement]) -> int:
        """Record what became of a worker's signals; returns how many were not settled before.

        Raises:
            SignalNotFoundError: one of them is another worker's.
        """
        try:
            return await self._repository.settle_signals(settlements, worker_id=worker_id)
        except ContentionError:
            raise
        except RefusedError:  # as of a text that the database's encoding does not have
            plain = [replace(s, detail=s.detail and in_ascii(s.detail)) for s in settlements]
            return await self._repository.settle_signals(plain, worker_id=worker_id)

    async def finish(self, asked: Finish) -> None:
        """End a stream of a worker; one that has ended is no error."""
        await with_storable(
            lambda told: self._repository.finish_stream(replace(asked, detail=told)), asked.detail
        )

    async def leave(self, worker_id: UUID) -> None:
        """Take a worker out: its streams finish `worker_stopped`, its signals settle `failed`."""
        await self.check(worker_id)
        leftovers = await self._repository.remove_worker(worker_id)
        logs.worker_stopped(worker_id, leftovers.streams, leftovers.signals)
        self._hub.look_at(worker_id)

    def close(self) -> None:
        """End all connections, and those that come yet: the service shuts down."""
        self._hub.close()

    def _know(self, worker_id: UUID, key_id: str | None) -> None:
        self._owners[worker_id] = key_id
        while len(self._owners) > _OWNERS_KNOWN:
            self._owners.popitem(last=False)

    async def check(self, worker_id: UUID) -> None:
        """Raise where a worker is gone."""
        if await self._repository.find_worker(worker_id) is None:
            raise WorkerNotFoundError.of(worker_id)
