"""The seam to whatever hosts agents, and the plain in-process runtime."""

from collections.abc import Awaitable
from typing import Any, Protocol

from session_router.agent_id import AgentId, AgentIdLike
from session_router.errors import AgentNotFoundError


class AgentRuntime(Protocol):
    """What a runtime must offer: AutoGen's runtimes and AgentOpera's engine do as they are.

    A runtime may also have `await remove_agent(agent_id)`, which is asked when a session is
    gone. The instance that is found has `trigger_transient_cancel()`, plain or awaitable.
    """

    async def try_get_underlying_agent_instance(self, id: Any, /) -> Any:
        """Find an agent by the very id that was registered; raises LookupError."""


class StoppableAgent(Protocol):
    """An agent that stops what it is streaming when it is asked to."""

    def trigger_transient_cancel(self) -> Awaitable[Any] | Any: ...


class LocalAgentRuntime:
    """The agents of this process, by id: the default where no other runtime is given."""

    def __init__(self) -> None:
        self._agents: dict[AgentId, StoppableAgent] = {}

    def add(self, agent_id: AgentIdLike, instance: StoppableAgent) -> None:
        """Host `instance` under `agent_id`, in place of an earlier one."""
        self._agents[AgentId.of(agent_id)] = instance

    async def remove_agent(self, agent_id: AgentIdLike) -> None:
        """Host it no longer; one that is not hosted is no error."""
        self._agents.pop(AgentId.of(agent_id), None)

    async def try_get_underlying_agent_instance(self, id: AgentIdLike, /) -> StoppableAgent:
        """Find an agent.

        Raises:
            AgentNotFoundError: a LookupError; no such agent is hosted here.
        """
        try:
            return self._agents[AgentId.of(id)]
        except KeyError:
            raise AgentNotFoundError(
                f"agent {AgentId.of(id)} is not hosted in this process; add it with "
                "runtime.add(agent_id, instance)."
            ) from None
