"""Streams that have ended in this worker, and whose rows may still be there."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from session_router.agent_id import AgentId
from session_router.events import StreamOutcome
from session_router.repository.changes import Finish

_PATIENCE_SEC: Final = 5.0
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """How a stream ended, while that may not be written yet.

    Attributes:
        tried: set when writing it has been tried, or will not be; who waits need wait no longer.
    """

    session_id: str
    agent_id: AgentId
    stream_id: UUID
    outcome: StreamOutcome
    detail: str | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    def finish(self) -> Finish:
        """The change that writes it."""
        return Finish(
            self.session_id, self.agent_id, self.outcome, self.stream_id, detail=self.detail
        )


class Endings:
    """The endings of a worker, the newest 10,000: a row that is found later gets its own."""

    def __init__(self) -> None:
        self._endings: dict[UUID, Ending] = {}
        self._of_agent: dict[tuple[str, AgentId], dict[UUID, Ending]] = {}

    def __len__(self) -> int:
        return len(self._endings)

    def add(self, ending: Ending) -> None:
        self._endings[ending.stream_id] = ending
        agent = (ending.session_id, ending.agent_id)
        self._of_agent.setdefault(agent, {})[ending.stream_id] = ending
        if len(self._endings) > _REMEMBERED:
            self.remove(next(iter(self._endings)))

    def remove(self, stream_id: UUID) -> None:
        """Forget an ending, which is written; one that is not known is no error."""
        ending = self._endings.pop(stream_id, None)
        if ending is None:
            return
        agent = (ending.session_id, ending.agent_id)
        del self._of_agent[agent][stream_id]
        if not self._of_agent[agent]:
            del self._of_agent[agent]

    def find(self, stream_id: UUID) -> Ending | None:
        return self._endings.get(stream_id)

    async def wait(self, session_id: str, agent_id: AgentId, besides: UUID) -> bool:
        """Wait a moment for endings of an agent that are on their way to the database.

        Args:
            besides: the stream that waits, which may itself have ended meanwhile.

        Returns:
            Whether all have been tried, so that none takes a row that it was not meant for.
        """
        of_agent = self._of_agent.get((session_id, agent_id), {})
        under_way = [ending.tried for ending in of_agent.values() if ending.stream_id != besides]
        if not under_way:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SEC):
                for tried in under_way:
                    await tried.wait()
        return all(tried.is_set() for tried in under_way)
