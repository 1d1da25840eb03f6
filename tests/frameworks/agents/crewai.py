"""A crew of CrewAI's, with one agent.

CrewAI waits for models and tools in threads, which nothing stops. So what they wait for runs on the
event loop here, where it can be cancelled.
"""

import asyncio
import atexit
import os
import shutil
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import wraps
from tempfile import mkdtemp
from typing import Any

# Read when it is imported: nothing is sent, and no output of a task is kept among the user's.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}
os.environ |= {"OTEL_SDK_DISABLED": "true", "CREWAI_STORAGE_DIR": mkdtemp(prefix="crewai")}

import crewai
from crewai.llms.providers.openai.completion import OpenAICompletion
from crewai.tools import tool
from pydantic import PrivateAttr

from tests.frameworks.fake import Model, Tools, Turn
from tests.frameworks.openai_server import OpenAIServer

atexit.register(shutil.rmtree, os.environ["CREWAI_STORAGE_DIR"])


class OnTheLoop:
    """Runs on the event loop what the crew's threads wait for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: set[Future[Any]] = set()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` returns; called in a thread of the crew's."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future.result()

    def cancel(self) -> None:
        for future in list(self._running):
            future.cancel()


class LLM(OpenAICompletion):
    """CrewAI's own, whose asynchronous call is made where CrewAI wants the other."""

    _on_the_loop: OnTheLoop = PrivateAttr()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self._on_the_loop.run(self.acall(*args, **kwargs))


class Agent:
    def __init__(self, model: Model, tools: Tools) -> None:
        self._on_the_loop = OnTheLoop()
        llm = LLM(model="fake", base_url=OpenAIServer(model).base_url, api_key="none")
        llm._on_the_loop = self._on_the_loop
        agent = crewai.Agent(
            role="assistant",
            goal="to help",
            backstory="It has helped before.",
            llm=llm,
            tools=[tool(self._awaited(tools.wait_async)), tool(tools.wait_sync)],
        )
        task = crewai.Task(description="{prompt}", expected_output="text", agent=agent)
        self._crew = crewai.Crew(agents=[agent], tasks=[task], stream=True)

    def _awaited(self, work: Callable[[], Coroutine[Any, Any, str]]) -> Callable[[], str]:
        @wraps(work)
        def call() -> str:
            return self._on_the_loop.run(work())

        return call

    def turn(self, prompt: str) -> Turn:
        kickoff = self._crew.akickoff
        return Turn(lambda: kickoff(inputs={"prompt": prompt}), on_stop=self._on_the_loop.cancel)

    async def history(self) -> list[str]:
        """No messages, which each kickoff begins without: a task's last output is all it keeps."""
        outputs = [task.output for task in self._crew.tasks]
        return [f"assistant: {output.raw}" for output in outputs if output is not None]
