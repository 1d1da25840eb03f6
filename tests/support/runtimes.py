"""Runtimes such as a host application brings: they find agents, and remember being asked."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from session_router.agent_id import AgentIdLike

OnCancel = Callable[[], Awaitable[None] | None]


@dataclass(frozen=True)
class ForeignId:
    """An agent id of another library: alike, yet equal only to its own class."""

    type: str
    key: str


class Agent:
    """An agent whose cancel does what the test wants."""

    def __init__(self, on_cancel: OnCancel) -> None:
        self._on_cancel = on_cancel
        self.cancels = 0

    def trigger_transient_cancel(self) -> Awaitable[None] | None:
        self.cancels += 1
        return self._on_cancel()


class Runtime:
    """Hosts an agent for every key that it is asked for; finds it by the key alone.

    Attributes:
        asked: the very id objects that it was asked to find, in order.
        removed: likewise those that it was asked to remove.
        before_finding: awaited while it looks for an agent.
    """

    def __init__(self, **on_cancel: OnCancel) -> None:
        self._on_cancel = on_cancel
        self.agents: dict[str, Agent] = {}
        self.asked: list[Any] = []
        self.removed: list[Any] = []
        self.before_finding: Callable[[], Awaitable[None]] | None = None

    async def try_get_underlying_agent_instance(self, id: AgentIdLike) -> Agent:
        self.asked.append(id)
        if self.before_finding is not None:
            await self.before_finding()
        return self.agent(id.key)

    async def remove_agent(self, agent_id: AgentIdLike) -> None:
        self.removed.append(agent_id)

    def agent(self, key: str) -> Agent:
        return self.agents.setdefault(key, Agent(self._on_cancel.get(key, lambda: None)))

    def cancels(self, key: str) -> int:
        """How often the agent of that key was told to stop."""
        return self.agent(key).cancels


class MinimalRuntime:
    """The least that the seam asks for: it finds agents, and cannot remove any."""

    def __init__(self) -> None:
        self.agent = Agent(lambda: None)

    async def try_get_underlying_agent_instance(self, id: AgentIdLike) -> Agent:
        return self.agent
