"""An agent of Microsoft's Agent Framework streams until `python examples/stream_stop.py stop`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import agent_framework as af

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///examples.db"


class FakeClient(af.FunctionInvocationLayer, af.BaseChatClient):  # yours: OpenAIChatClient()
    def _inner_get_response(self, **options: Any) -> af.ResponseStream[Any, Any]:
        return self._build_response_stream(self._words())

    async def _words(self) -> AsyncIterator[af.ChatResponseUpdate]:
        while True:
            yield af.ChatResponseUpdate(contents=[af.Content.from_text("word")], role="assistant")
            await asyncio.sleep(0.1)


async def main() -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    agent = af.Agent(FakeClient(), name="writer")
    chat = agent.create_session()
    async with SessionManager(repository) as manager:
        stream = manager.stream(
            "chat-1", AgentId("writer", "a"), lambda: agent.run("Hello.", stream=True, session=chat)
        )
        async for update in stream:
            print(update.text, flush=True)
        print(stream.outcome)
    await repository.close()


asyncio.run(main())
