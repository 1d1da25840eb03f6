"""An agent of Pydantic AI, whose history has the partial answers, too."""

from collections.abc import AsyncIterator

import pydantic_ai
from pydantic_ai import capture_run_messages
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from tests.frameworks import fake


class Agent:
    def __init__(self, model: fake.Model, tools: fake.Tools) -> None:
        self._model = model
        self._history: list[ModelMessage] = []
        self._agent = pydantic_ai.Agent(
            FunctionModel(stream_function=self._reply),
            tools=[tools.wait_async, tools.wait_sync],
        )

    def turn(self, prompt: str) -> fake.Turn:
        return fake.Turn(lambda: self._answer(prompt))

    async def history(self) -> list[str]:
        return [_line(part) for message in self._history for part in message.parts]

    async def _answer(self, prompt: str) -> AsyncIterator[str]:
        with capture_run_messages() as messages:
            try:
                async with self._agent.run_stream(prompt, message_history=self._history) as result:
                    async for text in result.stream_text(delta=True):
                        yield text
            finally:
                self._history = messages or self._history

    async def _reply(
        self, _messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        async for piece in self._model.reply():
            yield piece if isinstance(piece, str) else {0: DeltaToolCall(piece.name, "{}")}


def _line(part: ModelRequestPart | ModelResponsePart) -> str:
    match part:
        case UserPromptPart():
            return f"user: {part.content}"
        case ToolCallPart():
            return f"assistant: calls {part.tool_name}"
        case ToolReturnPart():
            return f"tool: {part.content}"
        case TextPart():
            return f"assistant: {part.content}"
    return f"{part.part_kind}: {part}"
