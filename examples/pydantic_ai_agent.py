"""A Pydantic AI agent, stopped by `python examples/stream_stop.py stop`, keeps what it has said."""

import asyncio

from pydantic_ai import Agent, ModelMessage, capture_run_messages
from pydantic_ai.models.function import FunctionModel

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade


async def words(*_: object):  # in place of a model that wants a key
    while True:
        yield await asyncio.sleep(0.1, "word ")


async def answer(prompt: str, agent: Agent, history: list[ModelMessage]):
    with capture_run_messages() as messages:
        try:
            async with agent.run_stream(prompt, message_history=history) as result:
                async for text in result.stream_text(delta=True):
                    yield text
        finally:
            history[:] = messages or history  # for the next turn


async def main() -> None:
    await upgrade(Target("sqlite:///examples.db"))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url("sqlite:///examples.db")
    agent, history = Agent(FunctionModel(stream_function=words)), []
    async with SessionManager(repository) as manager:
        stream = manager.stream("chat-1", AgentId("writer", "a"), answer("Go on.", agent, history))
        async for text in stream:
            print(text, end="", flush=True)
        await stream.aclose()  # a stop is told at once; now the source has closed, too
        print(f"\n{stream.outcome}; kept: {history[-1].text}")
    await repository.close()


asyncio.run(main())
