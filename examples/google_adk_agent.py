"""A Google ADK agent counts until `python examples/stream_stop.py stop` is run."""

import asyncio
from collections.abc import AsyncIterator

from google.adk.agents import LlmAgent, RunConfig
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade


class FakeLlm(BaseLlm):
    async def generate_content_async(self, *_: object, **__: object) -> AsyncIterator[LlmResponse]:
        usage = types.GenerateContentResponseUsageMetadata(candidates_token_count=1)
        for text in map("{} ".format, range(1, 1_000_000)):
            yield LlmResponse(content=types.ModelContent(text), partial=True, usage_metadata=usage)
            await asyncio.sleep(0.1)


async def main() -> None:
    await upgrade(Target("sqlite:///examples.db"))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url("sqlite:///examples.db")
    runner = InMemoryRunner(LlmAgent(name="counter", model=FakeLlm(model="fake")), app_name="app")
    chat = {"user_id": "ann", "session_id": "chat-1"}
    await runner.session_service.create_session(app_name="app", **chat)
    abort, ask = asyncio.Event(), types.UserContent("Count for me.")
    sse = RunConfig(streaming_mode="sse")
    run = runner.run_async(**chat, new_message=ask, run_config=sse, abort_signal=abort)
    async with SessionManager(repository) as manager:
        stream = manager.stream("chat-1", AgentId("counter", "a"), run, on_stop=abort.set)
        async for event in stream:
            print(event.content.parts[0].text, end="", flush=True)
        print(stream.outcome)
    await repository.close()


asyncio.run(main())
