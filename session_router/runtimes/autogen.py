"""AutoGen: its runtimes find agents but cannot let go of one; this adapter can.

Needs the extra `autogen`. A runtime passed to `SessionManager` as it is works too; then agents
of an ended session are cancelled and stay with the runtime.
"""

from typing import Any

from autogen_core import Agent, AgentId, AgentRuntime


class AutoGenRuntime:
    """Adds `remove_agent` to an AutoGen runtime.

    Args:
        runtime: a `SingleThreadedAgentRuntime` or a `GrpcWorkerAgentRuntime`.
    """

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime

    async def try_get_underlying_agent_instance(self, id: AgentId, /) -> Any:
        """Find an agent; raises LookupError for an unknown type."""
        return await self._runtime.try_get_underlying_agent_instance(id)

    async def remove_agent(self, agent_id: AgentId) -> None:
        """Close an agent's instance and forget it; the next message to it makes a new one."""
        # AutoGen 0.7 has no public way to drop an instance; its runtimes all keep them here.
        instances: dict[AgentId, Agent] = self._runtime._instantiated_agents  # type: ignore[attr-defined]
        instance = instances.pop(agent_id, None)
        if instance is not None:
            await instance.close()
