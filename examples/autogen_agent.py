"""An agent of AutoGen's AgentChat streams until `python examples/stream_stop.py stop` is run."""

import asyncio
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_core import CancellationToken
from autogen_ext.models.replay import ReplayChatCompletionClient

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///examples.db"


class FakeModel(ReplayChatCompletionClient):  # yours: OpenAIChatCompletionClient(model=...)
    async def create_stream(self, *args: Any, **options: Any) -> Any:
        async for word in super().create_stream(*args, **options):
            await asyncio.sleep(0.1)
            yield word


async def main() -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    agent = AssistantAgent("writer", FakeModel(["word " * 10_000]), model_client_stream=True)
    async with SessionManager(repository) as manager:
        token = CancellationToken()  # one for each turn: it stops the agent's tools, too
        answer = agent.run_stream(task="What is new?", cancellation_token=token)
        stream = manager.stream("chat-1", AgentId("writer", "a"), answer, on_stop=token.cancel)
        async for event in stream:
            if isinstance(event, ModelClientStreamingChunkEvent):
                print(event.content, flush=True)
        print(stream.outcome)
    await repository.close()


asyncio.run(main())
