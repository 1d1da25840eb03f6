"""An agent of the OpenAI Agents SDK, which keeps its conversation in a session of the SDK's own."""

from typing import Any

import agents
from openai import AsyncOpenAI

from tests.frameworks.fake import Model, Tools, Turn
from tests.frameworks.openai_server import OpenAIServer

agents.set_tracing_disabled(True)


class Agent:
    def __init__(self, model: Model, tools: Tools) -> None:
        client = AsyncOpenAI(base_url=OpenAIServer(model).base_url, api_key="none", max_retries=0)
        self._agent = agents.Agent(
            "assistant",
            model=agents.OpenAIChatCompletionsModel("fake", client),
            tools=[agents.function_tool(tools.wait_async), agents.function_tool(tools.wait_sync)],
        )
        self._session = agents.SQLiteSession("chat-1")

    def turn(self, prompt: str) -> Turn:
        run = agents.Runner.run_streamed
        return Turn(lambda: run(self._agent, prompt, session=self._session).stream_events())

    async def history(self) -> list[str]:
        return [_line(item) for item in await self._session.get_items()]


def _line(item: Any) -> str:
    if "role" not in item:
        return f"{item['type']}: {item.get('name', item.get('output'))}"
    content = item["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return f"{item['role']}: {text}"
