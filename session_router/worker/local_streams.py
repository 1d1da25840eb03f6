"""What streams in this worker: from a signal's `stream_id` to what can be stopped."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from uuid import UUID

from session_router.agent_id import AgentId, AgentIdLike

Stop = Callable[[], Awaitable[str | None]]
"""Stops what `stream()` returned, in bounded time; returns why its source has not closed, if so."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalStream:
    """A stream of this worker.

    Attributes:
        given_id: the very object that was registered. On AutoGen and AgentOpera an equal id of
            another class creates a twin of the agent, and cancelling the twin stops nothing.
        stop: stops the iterator that `stream()` returned; None for a stream that the runtime is to
            stop.
        number: the order of registration in this worker.
    """

    stream_id: UUID
    agent_id: AgentId
    given_id: AgentIdLike
    stop: Stop | None
    number: int


class LocalStreams:
    """The streams of this worker.

    A stream is entered before the database knows it: its signal may come in the moment that its
    registration commits.
    """

    def __init__(self) -> None:
        self._streams: dict[UUID, LocalStream] = {}
        self._of_agent: dict[AgentId, dict[UUID, LocalStream]] = {}
        self._registering: dict[UUID, tuple[str, AgentId]] = {}
        self._numbers = count()

    def enter(
        self,
        stream_id: UUID,
        given_id: AgentIdLike,
        stop: Stop | None = None,
    ) -> LocalStream:
        """Enter a stream; one that is known already stays as it is."""
        if stream_id in self._streams:
            return self._streams[stream_id]
        agent_id = AgentId.of(given_id)
        stream = LocalStream(stream_id, agent_id, given_id, stop, next(self._numbers))
        self._streams[stream_id] = stream
        self._of_agent.setdefault(agent_id, {})[stream_id] = stream
        return stream

    @contextmanager
    def registering(
        self, session_id: str, stream_id: UUID, given_id: AgentIdLike, stop: Stop | None
    ) -> Iterator[None]:
        """Enter a stream whose registration is under way within the block."""
        stream = self.enter(stream_id, given_id, stop)
        self._registering[stream_id] = (session_id, stream.agent_id)
        try:
            yield
        finally:
            del self._registering[stream_id]

    def is_registering(self, session_id: str, agent_id: AgentId) -> bool:
        """Whether a stream of this agent is being registered in the session."""
        return (session_id, agent_id) in self._registering.values()

    def leave(self, stream_id: UUID) -> None:
        """Forget a stream; one that is not known is no error."""
        stream = self._streams.pop(stream_id, None)
        if stream is None:
            return
        siblings = self._of_agent[stream.agent_id]
        del siblings[stream_id]
        if not siblings:
            del self._of_agent[stream.agent_id]

    def find(self, stream_id: UUID) -> LocalStream | None:
        return self._streams.get(stream_id)

    def all(self) -> list[LocalStream]:
        return list(self._streams.values())

    def registered(self) -> list[LocalStream]:
        """All but those whose registration is under way."""
        return [s for s in self._streams.values() if s.stream_id not in self._registering]

    def is_superseded(self, stream: LocalStream) -> bool:
        """Whether the agent has registered a newer stream here since.

        A runtime cancels an agent, not a stream: asking it would hit the newer one.
        """
        siblings = self._of_agent.get(stream.agent_id, {}).values()
        return any(sibling.number > stream.number for sibling in siblings)
