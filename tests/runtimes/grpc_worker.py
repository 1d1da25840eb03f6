"""A worker on AutoGen's gRPC runtime: `python -m tests.runtimes.grpc_worker URL OPTIONS`.

OPTIONS is JSON: `host`, the address of AutoGen's host, `agent_type`, and `tuning`. It hosts the
agents of its type and tells of itself in JSON lines. Lines on its standard input are orders:

    ask SESSION AGENT       send an agent, in whichever worker, a question over gRPC
    stream SESSION AGENT    stream here through `manager.stream()`
    interrupt SESSION       stop what streams in the session
    end SESSION             end the session
    made                    tell of the agents that were made here
    stop                    finish what it was told, and stop; so does the end of its input
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from autogen_core import AgentId as AutoGenId
from autogen_core import (
    AgentRuntime,
    MessageContext,
    RoutedAgent,
    message_handler,
    try_get_known_serializers_for_type,
)
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.runtimes.autogen import AutoGenRuntime
from session_router.settings import Tuning
from tests.anywhere.worker import endless, say


@dataclass
class Question:
    session_id: str


@dataclass
class Answer:
    words: int


class Writer(RoutedAgent):
    """Writes word by word until it is stopped, as an application's agent would."""

    made: list[str] = []  # noqa: RUF012 - what the runtime made, for the test to see

    def __init__(self, manager: SessionManager) -> None:
        super().__init__("writes until it is stopped")
        self._manager = manager
        self._is_stopped = False
        self.made.append(str(self.id))

    def trigger_transient_cancel(self) -> None:
        self._is_stopped = True

    @message_handler
    async def answer(self, message: Question, ctx: MessageContext) -> Answer:
        self._is_stopped = False
        words = 0
        stream_id = await self._manager.register_agent(message.session_id, self.id)
        say("writing", agent=str(self.id))
        while not self._is_stopped:
            words += 1
            await asyncio.sleep(0.02)
        await self._manager.unmark_agent_streaming(message.session_id, self.id, stream_id)
        say("stopped", agent=str(self.id))
        return Answer(words)

    async def close(self) -> None:
        say("closed", agent=str(self.id))


class Application:
    """What a person at this worker can do: a method an order."""

    def __init__(self, manager: SessionManager, runtime: AgentRuntime) -> None:
        self._manager = manager
        self._runtime = runtime

    async def ask(self, session_id: str, agent: str) -> None:
        answer: Answer = await self._runtime.send_message(
            Question(session_id), AutoGenId.from_str(agent)
        )
        say("answered", agent=agent, words=answer.words)

    async def stream(self, session_id: str, agent: str) -> None:
        stream = self._manager.stream(session_id, AgentId.from_str(agent), endless())
        async for number in stream:
            if number == 0:
                say("streaming", agent=agent)
        say("ended", agent=agent, outcome=stream.outcome)

    async def interrupt(self, session_id: str) -> None:
        outcomes = await self._manager.interrupt_streaming_agents(session_id, wait=20)
        say("interrupted", outcomes={str(agent): outcome for agent, outcome in outcomes.items()})

    async def end(self, session_id: str) -> None:
        say("session_ended", there_was_one=await self._manager.end_session(session_id))

    async def made(self) -> None:
        say("made", agents=Writer.made)


async def orders() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async for line in reader:
        if line == b"stop\n":
            return
        yield line.decode().split()


async def main(url: str, options: dict[str, Any]) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    runtime = GrpcWorkerAgentRuntime(options["host"])
    await runtime.start()
    # Of a handler's types AutoGen knows how to send the message, and not what it returns.
    runtime.add_message_serializer(try_get_known_serializers_for_type(Answer))
    tuning = Tuning(**options["tuning"])
    async with SessionManager(repository, AutoGenRuntime(runtime), tuning=tuning) as manager:
        await Writer.register(runtime, options["agent_type"], lambda: Writer(manager))
        application = Application(manager, runtime)
        say("ready", worker_id=str(manager.worker_id))
        async with asyncio.TaskGroup() as tasks:
            async for order, *words in orders():
                tasks.create_task(getattr(application, order)(*words))
    await runtime.stop()
    await repository.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
