"""A repository of a host's own: in memory, and as slow or as faulty as a test wants."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from session_router import InMemorySessionRepository
from session_router.repository.changes import Finish, Register
from session_router.repository.results import Registration


async def _at_once() -> None:
    """Neither slow nor faulty."""


class HostsRepository(InMemorySessionRepository):
    """What tests set is awaited before, or after, the change; it may wait or raise.

    Attributes:
        finishes: how often it was told to finish a stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before_finishing: Callable[[], Awaitable[None]] = _at_once
        self.after_finishing: Callable[[], Awaitable[None]] = _at_once
        self.after_registering: Callable[[], Awaitable[None]] = _at_once
        self.before_registering: Callable[[], Awaitable[None]] = _at_once
        self.after_reading: Callable[[], Awaitable[None]] = _at_once
        self.finishes = 0

    async def finish_stream(self, asked: Finish) -> UUID | None:
        self.finishes += 1
        await self.before_finishing()
        ended = await super().finish_stream(asked)
        await self.after_finishing()
        return ended

    async def register_stream(self, asked: Register) -> Registration:
        await self.before_registering()
        registration = await super().register_stream(asked)
        await self.after_registering()
        return registration

    async def streams_of_worker(self, worker_id: Any) -> Any:
        read = await super().streams_of_worker(worker_id)
        await self.after_reading()
        return read
