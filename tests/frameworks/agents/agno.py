"""Agno: an `Agent` that keeps the conversation in its database, here one in memory."""

from collections.abc import AsyncIterator
from typing import Any, NoReturn

from agno.agent import Agent as AgnoAgent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model as AgnoModel
from agno.models.message import Message
from agno.models.response import ModelResponse

from tests.frameworks.fake import Model, ToolCall, Tools, Turn


def _not_asked(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("an agent that streams asks ainvoke_stream() only")


class FakeModel(AgnoModel):
    """Gives the fake model's replies as deltas of Agno's."""

    def __init__(self, model: Model) -> None:
        super().__init__(id="fake", name="Fake")
        self._model = model

    async def ainvoke_stream(self, *_: Any, **__: Any) -> AsyncIterator[ModelResponse]:
        async for piece in self._model.reply():
            if isinstance(piece, ToolCall):
                function = {"name": piece.name, "arguments": "{}"}
                call = {"id": "call-1", "type": "function", "function": function}
                yield ModelResponse(tool_calls=[call])
            else:
                yield ModelResponse(content=piece)

    invoke = ainvoke = invoke_stream = _not_asked
    _parse_provider_response = _parse_provider_response_delta = _not_asked


class Agent:
    def __init__(self, model: Model, tools: Tools) -> None:
        self._agent = AgnoAgent(
            model=FakeModel(model),
            tools=[tools.wait_async, tools.wait_sync],
            db=InMemoryDb(),
            add_history_to_context=True,
            telemetry=False,
        )

    def turn(self, prompt: str) -> Turn:
        return Turn(self._agent.arun(prompt, session_id="chat-1", stream=True))

    async def history(self) -> list[str]:
        session = await self._agent.aget_session("chat-1")
        messages = session.get_messages(skip_statuses=[]) if session else []
        return [f"{message.role}: {_told(message)}" for message in messages]


def _told(message: Message) -> str:
    calls = [f"call {call['function']['name']}" for call in message.tool_calls or []]
    return " ".join([*calls, str(message.content or "")]).strip()
