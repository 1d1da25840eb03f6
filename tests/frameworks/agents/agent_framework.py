"""Microsoft's Agent Framework: an `Agent` with a session."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import agent_framework as af

from tests.frameworks.fake import Model, ToolCall, Tools, Turn


class Client(af.FunctionInvocationLayer[Any], af.BaseChatClient[Any]):
    """Streams the fake model's replies; the layer calls the tools, as in the clients for users."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def _inner_get_response(
        self,
        *,
        messages: Sequence[af.Message],
        stream: bool,
        options: Mapping[str, Any],
        **more: Any,
    ) -> af.ResponseStream[af.ChatResponseUpdate, af.ChatResponse[Any]]:
        assert stream
        refuse_unanswered_calls(messages)
        return self._build_response_stream(self._updates())

    async def _updates(self) -> AsyncIterator[af.ChatResponseUpdate]:
        async for part in self._model.reply():
            yield af.ChatResponseUpdate(contents=[content(part)], role="assistant")


def content(part: str | ToolCall) -> af.Content:
    if isinstance(part, ToolCall):
        return af.Content.from_function_call(call_id="1", name=part.name, arguments="{}")
    return af.Content.from_text(part)


def refuse_unanswered_calls(messages: Sequence[af.Message]) -> None:
    """Refuse what OpenAI's API answers with 400: a tool call that no result follows."""
    contents = [content for message in messages for content in message.contents]
    called = {content.call_id for content in contents if content.type == "function_call"}
    answered = {content.call_id for content in contents if content.type == "function_result"}
    if called - answered:
        raise ValueError(f"tool calls without a result: {called - answered}")


class Agent:
    """The session is the conversation."""

    def __init__(self, model: Model, tools: Tools) -> None:
        self._agent = af.Agent(Client(model), tools=[tools.wait_async, tools.wait_sync])
        self._session = self._agent.create_session()

    def turn(self, prompt: str) -> Turn:
        # A run that is closed before it was begun runs all the same: none is made before it is due.
        return Turn(lambda: self._agent.run(prompt, stream=True, session=self._session))

    async def history(self) -> list[str]:
        kept = self._session.state.get("in_memory", {}).get("messages", [])
        return [f"{message.role}: {message.text}" for message in kept]
