"""AutoGen: an `AssistantAgent` of AgentChat."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelFamily,
    ModelInfo,
    RequestUsage,
)
from autogen_ext.models.replay import ReplayChatCompletionClient

from tests.frameworks.fake import Model, ToolCall, Tools, Turn

ROLES: Final = {
    "SystemMessage": "system",
    "UserMessage": "user",
    "AssistantMessage": "assistant",
    "FunctionExecutionResultMessage": "tool",
}
USAGE: Final = RequestUsage(prompt_tokens=0, completion_tokens=0)
ABILITIES: Final = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=False,
    structured_output=False,
    family=ModelFamily.UNKNOWN,
)


class Client(ReplayChatCompletionClient):
    """Streams the fake model's replies, and heeds the token as AutoGen's client for OpenAI does."""

    def __init__(self, model: Model) -> None:
        super().__init__([], ABILITIES)
        self._model = model

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        cancellation_token: CancellationToken,
        **options: Any,
    ) -> AsyncGenerator[str | CreateResult, None]:
        refuse_open_calls(messages)
        reply, text = self._model.reply(), ""
        while True:
            future = asyncio.ensure_future(anext(reply, None))
            cancellation_token.link_future(future)
            part = await future
            if part is None:
                yield CreateResult(finish_reason="stop", content=text, usage=USAGE, cached=False)
                return
            if isinstance(part, ToolCall):
                call = FunctionCall(id="1", name=part.name, arguments="{}")
                yield CreateResult(
                    finish_reason="function_calls", content=[call], usage=USAGE, cached=False
                )
                return
            text += part
            yield part


def refuse_open_calls(messages: Sequence[LLMMessage]) -> None:
    """Refuse what OpenAI's API answers with 400: a call of a tool that no result follows."""
    called = {
        call.id
        for message in messages
        if isinstance(message, AssistantMessage) and isinstance(message.content, list)
        for call in message.content
    }
    answered = {
        result.call_id
        for message in messages
        if isinstance(message, FunctionExecutionResultMessage)
        for result in message.content
    }
    if called - answered:
        raise ValueError(f"calls without a result: {called - answered}")


async def settle_open_calls(context: ChatCompletionContext) -> None:
    """Give the tools that were stopped a result: models refuse calls without one."""
    match (await context.get_messages())[-1:]:
        case [AssistantMessage(content=[*calls])]:
            results = [
                FunctionExecutionResult(
                    content="The user stopped it.", name=call.name, call_id=call.id, is_error=True
                )
                for call in calls
            ]
            await context.add_message(FunctionExecutionResultMessage(content=results))


def lines(messages: Sequence[LLMMessage]) -> list[str]:
    """What a person reads of a conversation: who said what, and which tools were called."""
    return [f"{ROLES[message.type]}: {_said(message)}" for message in messages]


def _said(message: LLMMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return ", ".join(
        f"call {part.name}" if isinstance(part, FunctionCall) else str(getattr(part, "content", ""))
        for part in message.content
    )


class Agent:
    """The AutoGen agent has the conversation; a token is for one turn."""

    def __init__(self, model: Model, tools: Tools) -> None:
        self._agent = AssistantAgent(
            "assistant",
            Client(model),
            tools=[tools.wait_async, tools.wait_sync],
            model_client_stream=True,
        )

    def turn(self, prompt: str) -> Turn:
        token = CancellationToken()

        async def answer() -> AsyncGenerator[Any, None]:
            await settle_open_calls(self._agent.model_context)
            return self._agent.run_stream(task=prompt, cancellation_token=token)

        return Turn(answer, on_stop=token.cancel)

    async def history(self) -> list[str]:
        return lines(await self._agent.model_context.get_messages())
