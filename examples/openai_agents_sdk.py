"""OpenAI's Agents SDK: an agent writes until `python examples/stream_stop.py stop` is run."""

import asyncio
from functools import partial

from agents import Agent, Runner, SQLiteSession, set_tracing_disabled
from agents.testing import ModelStep, ScriptedModel
from openai.types.responses import ResponseTextDeltaEvent

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade


async def words(_):  # of a fake model
    while True:
        yield ResponseTextDeltaEvent.model_construct(delta="word ")
        await asyncio.sleep(0.1)


async def main() -> None:
    database = "sqlite:///examples.db"
    await upgrade(Target(database))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(database)
    set_tracing_disabled(True)  # else the SDK sends traces to OpenAI
    agent = Agent("writer", model=ScriptedModel([ModelStep.stream(words)]))
    history, said = SQLiteSession("chat-1"), ""
    async with SessionManager(repository) as manager:
        run = partial(Runner.run_streamed, agent, "Write.", session=history)
        stream = manager.stream("chat-1", AgentId("writer", "a"), lambda: run().stream_events())
        async for event in stream:
            if isinstance(getattr(event, "data", None), ResponseTextDeltaEvent):
                said += event.data.delta
                print(event.data.delta, end="", flush=True)
        if stream.outcome != "completed":  # the SDK has kept nothing of the answer
            await history.add_items([{"role": "assistant", "content": said}])
        print(stream.outcome, await history.get_items())
    await repository.close()


asyncio.run(main())
