"""What the subject does under load: touches, starts, and cycles of registering and unmarking."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from benchmarks.population import session_id
from session_router import AgentId, SessionManager, SQLAlchemySessionRepository


class Work:
    """A worker's calls, each of any of so many sessions."""

    def __init__(self, manager: SessionManager, sessions: int) -> None:
        self._manager = manager
        self._sessions = sessions

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str, sessions: int) -> AsyncIterator[Self]:
        repository = SQLAlchemySessionRepository.from_url(url)
        async with SessionManager(repository) as manager:
            yield cls(manager, sessions)
        await repository.close()

    async def touch(self, _: int) -> None:
        assert await self._manager.get_session(self._some_session()) is not None

    async def start(self, fresh_id: str) -> None:
        await self._manager.start_session(fresh_id)

    async def cycle(self, caller: int) -> None:
        session, agent = self._some_session(), AgentId("writer", f"caller-{caller}")
        stream_id = await self._manager.register_agent(session, agent)
        await self._manager.unmark_agent_streaming(session, agent, stream_id)

    def _some_session(self) -> str:
        return session_id(random.randrange(self._sessions))  # noqa: S311 - spreads load only
