"""This process's incarnation: its row among the workers, and the next one after a reaping."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from session_router import logs
from session_router.errors import WorkerGoneError
from session_router.release import release
from session_router.repository.base import SessionRepository
from session_router.repository.records import Requester


class Incarnation:
    """Enters this process among the workers when it is first needed.

    Args:
        repository: where the workers' rows are.
    """

    def __init__(self, repository: SessionRepository) -> None:
        self._repository = repository
        self._worker_id = uuid4()
        self._is_entered = False
        self._was_tried = False
        self._is_leaving = False
        self._entering = asyncio.Lock()

    @property
    def worker_id(self) -> UUID:
        """The present incarnation, entered or yet to be; entering, it may be given another id."""
        return self._worker_id

    def requester(self, actor: str | None = None, reason: str | None = None) -> Requester:
        """This worker as the one who asks for a change."""
        return Requester(self._worker_id, actor, reason)

    async def enter(self) -> UUID:
        """Enter the worker's row, unless that is done; returns its id.

        Raises:
            WorkerGoneError: it is shutting down.
        """
        async with self._entering:
            if self._is_leaving:
                raise WorkerGoneError(
                    f"worker {self._worker_id} is shutting down and registers nothing more; "
                    "use another worker, or this one after its shutdown."
                )
            if not self._is_entered:
                self._was_tried = True  # the row may be there though no answer came
                self._repository.speak_for(self._worker_id)
                self._worker_id = await self._repository.add_worker(
                    self._worker_id,
                    socket.gethostname(),
                    os.getpid(),
                    version=release(),
                )
                self._is_entered = True
                logs.worker_started(self._worker_id)
            return self._worker_id

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Enter nothing within the block, so that no late registration brings the worker back."""
        self._is_leaving = True
        try:
            yield
        finally:
            self._is_leaving = False

    async def leave(self) -> None:
        """Give up the row, with the streams and signals that are left; a new id is drawn."""
        async with self._entering:
            if not self._was_tried:
                return
            gone = self._worker_id
            self._draw_id()
        leftovers = await self._repository.remove_worker(gone)
        logs.worker_stopped(gone, leftovers.streams, leftovers.signals)

    async def succeed(self, reaped: UUID) -> bool:
        """Become the next incarnation, yet to be entered; False where another one is here now."""
        async with self._entering:
            if reaped != self._worker_id:
                return False
            self._draw_id()
        logs.worker_gone(reaped)
        return True

    def _draw_id(self) -> None:
        """The next incarnation; what the last one left, others clear."""
        self._worker_id = uuid4()
        self._is_entered = self._was_tried = False
