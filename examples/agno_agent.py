"""An Agno agent counts until `python examples/stream_stop.py stop` is run, and keeps its answer."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.base import Model
from agno.models.response import ModelResponse

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade


class FakeModel(Model):
    async def ainvoke_stream(self, *_: object, **__: object) -> AsyncIterator[ModelResponse]:
        for number in count(1):
            yield ModelResponse(content=f"{number} ")
            await asyncio.sleep(0.1)

    invoke = ainvoke = invoke_stream = NotImplemented  # an agent that streams asks none of these
    _parse_provider_response = _parse_provider_response_delta = NotImplemented


async def main() -> None:
    await upgrade(Target("sqlite:///examples.db"))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url("sqlite:///examples.db")
    agent = Agent(model=FakeModel("fake"), db=InMemoryDb(), telemetry=False)
    run = agent.arun("Count for me.", session_id="chat-1", stream=True)
    async with SessionManager(repository) as manager:
        stream = manager.stream("chat-1", AgentId("counter", "a"), run)
        async for event in stream:
            print(event.content, end="", flush=True)
    [kept] = (await agent.aget_session("chat-1")).runs
    print(f"{stream.outcome}\n{kept.status.value}: {kept.content}")
    await repository.close()


asyncio.run(main())
