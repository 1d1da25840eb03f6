"""The bare OpenAI client, with the loop around its tools that its users write themselves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI

from tests.frameworks.fake import Model, Tools, Turn
from tests.frameworks.openai_server import OpenAIServer


class Agent:
    def __init__(self, model: Model, tools: Tools) -> None:
        server = OpenAIServer(model)
        self._client = AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        self._tools = tools
        self._messages: list[Any] = []

    def turn(self, prompt: str) -> Turn:
        return Turn(self._answer(prompt))

    async def history(self) -> list[str]:
        return [f"{message['role']}: {message['content']}" for message in self._messages]

    async def _answer(self, prompt: str) -> AsyncIterator[str]:
        self._messages.append({"role": "user", "content": prompt})
        while True:
            said, calls = "", []
            try:
                async with await self._ask() as chunks:
                    async for chunk in chunks:
                        delta = chunk.choices[0].delta
                        calls += delta.tool_calls or []
                        if delta.content:
                            said += delta.content
                            yield delta.content
            finally:
                if said:  # what was said is kept, also of an answer that is stopped
                    self._messages.append({"role": "assistant", "content": said})
            if not calls:
                return
            # A call is kept together with its result: without one the service refuses it.
            results = [await self._result(call) for call in calls]
            made = [call.model_dump(exclude={"index"}) for call in calls]
            self._messages += [{"role": "assistant", "content": None, "tool_calls": made}, *results]

    async def _ask(self) -> Any:
        return await self._client.chat.completions.create(
            model="fake",
            messages=self._messages,
            tools=[_described("wait_async"), _described("wait_sync")],
            stream=True,
        )

    async def _result(self, call: Any) -> dict[str, str]:
        if call.function.name == "wait_async":
            result = await self._tools.wait_async()
        else:
            result = await asyncio.to_thread(self._tools.wait_sync)
        return {"role": "tool", "tool_call_id": call.id, "content": result}


def _described(tool: str) -> Any:
    doc = getattr(Tools, tool).__doc__
    return {"type": "function", "function": {"name": tool, "description": doc}}
