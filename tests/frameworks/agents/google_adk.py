"""Google ADK: an `LlmAgent` behind a `Runner`, which keeps the conversation in memory."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode, ToolThreadPoolConfig
from google.adk.events import Event
from google.adk.models import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types

from tests.frameworks.fake import Model, ToolCall, Tools, Turn

USAGE: Final = types.GenerateContentResponseUsageMetadata(
    prompt_token_count=1, candidates_token_count=1
)


class FakeLlm(BaseLlm):
    """Gives the fake model's replies as Gemini's come: partial texts, then the whole once more."""

    model: str = "fake"
    fake: Model

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        text = ""
        async for piece in self.fake.reply():
            if isinstance(piece, ToolCall):
                yield _response(types.Part.from_function_call(name=piece.name, args={}))
                return
            text += piece
            yield _response(types.Part(text=piece), partial=True)
        yield _response(types.Part(text=text))


class Agent:
    # Without the pool, a `def` tool runs on the event loop.
    config = RunConfig(
        streaming_mode=StreamingMode.SSE, tool_thread_pool_config=ToolThreadPoolConfig()
    )

    def __init__(self, model: Model, tools: Tools) -> None:
        self._sessions = InMemorySessionService()
        self._runner = Runner(
            app_name="app",
            agent=LlmAgent(
                name="writer",
                model=FakeLlm(fake=model),
                tools=[tools.wait_async, tools.wait_sync],
            ),
            session_service=self._sessions,
            auto_create_session=True,
        )

    def turn(self, prompt: str) -> Turn:
        abort = asyncio.Event()
        events = self._runner.run_async(
            user_id="ann",
            session_id="chat-1",
            new_message=types.UserContent(prompt),
            run_config=self.config,
            abort_signal=abort,
        )
        return Turn(events, on_stop=abort.set)

    async def history(self) -> list[str]:
        session = await self._sessions.get_session(
            app_name="app", user_id="ann", session_id="chat-1"
        )
        events = session.events if session else []
        return [f"{event.author}: {line}" for event in events for line in _lines(event)]


def _response(part: types.Part, *, partial: bool = False) -> LlmResponse:
    content = types.ModelContent(part)
    return LlmResponse(content=content, partial=partial, usage_metadata=USAGE)


def _lines(event: Event) -> Iterator[str]:
    if event.content is None:
        yield f"({event.error_code})"
        return
    for part in event.content.parts or []:
        if part.function_call:
            yield f"call {part.function_call.name}"
        elif part.function_response:
            yield f"result {part.function_response.response}"
        else:
            yield part.text or ""
