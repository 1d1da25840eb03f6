"""An agent of LangGraph, made by LangChain's `create_agent`, with its thread in a checkpointer."""

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver

from tests.frameworks import fake

_THREAD: Any = {"configurable": {"thread_id": "1"}}


class Agent:
    def __init__(self, model: fake.Model, tools: fake.Tools) -> None:
        self._agent = create_agent(
            _ChatModel(model=model),
            tools=[tools.wait_async, tools.wait_sync],
            checkpointer=InMemorySaver(),
        )

    def turn(self, prompt: str) -> fake.Turn:
        return fake.Turn(lambda: self._answer(prompt))

    async def history(self) -> list[str]:
        return [_line(message) for message in await self._messages()]

    async def _answer(self, prompt: str) -> AsyncIterator[Any]:
        said = await self._messages()
        prompted = [*said, *_stopped_tools(said), {"role": "user", "content": prompt}]
        question: Any = {"messages": prompted}
        return self._agent.astream(question, _THREAD, stream_mode="messages")

    async def _messages(self) -> list[BaseMessage]:
        state = await self._agent.aget_state(_THREAD)
        messages: list[BaseMessage] = state.values.get("messages", [])
        return messages


def _stopped_tools(said: list[BaseMessage]) -> list[dict[str, str]]:
    """What a stop in a tool has left out: models refuse a call without an answer."""
    calls = {call["id"] for message in said for call in getattr(message, "tool_calls", [])}
    calls -= {getattr(message, "tool_call_id", None) for message in said}
    return [{"role": "tool", "tool_call_id": call, "content": "Stopped."} for call in calls]


def _line(message: BaseMessage) -> str:
    who = {"human": "user", "ai": "assistant"}.get(message.type, message.type)
    calls = [call["name"] for call in getattr(message, "tool_calls", [])]
    return f"{who}: {'calls ' + ', '.join(calls) if calls else message.text}"


class _ChatModel(BaseChatModel):
    """Streams what the fake model replies; as strict as OpenAI's about calls without an answer."""

    model: Any

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **_options: Any) -> "_ChatModel":
        return self

    def _generate(self, *_args: Any, **_options: Any) -> ChatResult:
        raise NotImplementedError("It is streamed only.")

    async def _astream(
        self, messages: list[BaseMessage], *_args: Any, **_options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        _check_calls_are_answered(messages)
        async for piece in self.model.reply():
            yield ChatGenerationChunk(message=_chunk(piece))


def _check_calls_are_answered(messages: list[BaseMessage]) -> None:
    unanswered: set[str | None] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            unanswered.discard(message.tool_call_id)
        elif unanswered:
            raise ValueError(f"These tool calls are not followed by their answers: {unanswered}.")
        elif isinstance(message, AIMessage):
            unanswered = {call["id"] for call in message.tool_calls}


def _chunk(piece: str | fake.ToolCall) -> AIMessageChunk:
    if isinstance(piece, str):
        return AIMessageChunk(content=piece)
    call = tool_call_chunk(name=piece.name, args="{}", id="call-1", index=0)
    return AIMessageChunk(content="", tool_call_chunks=[call])
