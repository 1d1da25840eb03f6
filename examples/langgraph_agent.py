"""A LangGraph agent is stopped by `python examples/stream_stop.py stop`, in a tool as well."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langgraph.checkpoint.memory import InMemorySaver

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

model = FakeListChatModel(responses=["word " * 1000], sleep=0.1)  # one that needs no key
agent = create_agent(model, checkpointer=InMemorySaver())
thread: Any = {"configurable": {"thread_id": "chat-1"}}


async def answer(prompt: str) -> AsyncIterator[Any]:
    said = (await agent.aget_state(thread)).values.get("messages", [])
    calls = {call["id"] for message in said for call in getattr(message, "tool_calls", [])}
    calls -= {getattr(message, "tool_call_id", None) for message in said}
    stopped = [{"role": "tool", "tool_call_id": call, "content": "Stopped."} for call in calls]
    question: Any = {"messages": [*said, *stopped, {"role": "user", "content": prompt}]}
    return agent.astream(question, thread, stream_mode="messages")


async def main() -> None:
    await upgrade(Target("sqlite:///examples.db"))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url("sqlite:///examples.db")
    async with SessionManager(repository) as manager:
        stream = manager.stream("chat-1", AgentId("writer", "a"), lambda: answer("Write."))
        async for message, _ in stream:
            print(message.text, end="", flush=True)
        await stream.aclose()  # a stop is told at once; now the thread is ready, too
        print(f"\n{stream.outcome}")
    await repository.close()


asyncio.run(main())
