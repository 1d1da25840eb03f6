"""AutoGen: a team of AgentChat, made anew for each turn of the same agents."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, SingleThreadedAgentRuntime
from autogen_core.tools import FunctionTool
from pydantic import BaseModel

from tests.frameworks.agents.autogen import Client, lines
from tests.frameworks.fake import Model, Tools, Turn


class StoppableTool(FunctionTool):
    """Answers when it is cancelled, too: an agent in a team waits for its tools without end."""

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> Any:
        try:
            return await super().run(args, cancellation_token)
        except asyncio.CancelledError:
            return "The user stopped it."


class Agent:
    """Its agents have the conversation; a team and its runtime are for one turn."""

    def __init__(self, model: Model, tools: Tools) -> None:
        self._agents = [assistant("writer", model, tools), assistant("critic", model, tools)]

    def turn(self, prompt: str) -> Turn:
        token = CancellationToken()

        @asynccontextmanager
        async def answer() -> AsyncIterator[AsyncGenerator[Any, None]]:
            runtime = SingleThreadedAgentRuntime()
            team = RoundRobinGroupChat(self._agents, max_turns=2, runtime=runtime)
            runtime.start()
            try:
                yield team.run_stream(task=prompt, cancellation_token=token)
            finally:
                await runtime.stop_when_idle()

        return Turn(answer, on_stop=token.cancel)

    async def history(self) -> list[str]:
        return [
            f"{agent.name}: {line}"
            for agent in self._agents
            for line in lines(await agent.model_context.get_messages())
        ]


def assistant(name: str, model: Model, tools: Tools) -> AssistantAgent:
    return AssistantAgent(
        name,
        Client(model),
        tools=[
            StoppableTool(tools.wait_async, "Waits."),
            StoppableTool(tools.wait_sync, "Waits."),
        ],
        model_client_stream=True,
    )
