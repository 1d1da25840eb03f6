"""Agno: an `Agent` on its `OpenAIChat`, which keeps the conversation in a database in memory."""

from agno.agent import Agent as AgnoAgent
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from agno.models.openai import OpenAIChat

from tests.frameworks.fake import Model, Tools, Turn
from tests.frameworks.openai_server import OpenAIServer


class Agent:
    def __init__(self, model: Model, tools: Tools) -> None:
        self._agent = AgnoAgent(
            model=OpenAIChat("fake", api_key="none", base_url=OpenAIServer(model).base_url),
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
