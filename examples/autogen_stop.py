"""An AutoGen agent is stopped from another process.

`python examples/autogen_stop.py` writes until `python examples/stream_stop.py stop` is run: who
stops an agent need not know what hosts it. On AutoGen's gRPC runtime the agent is the same.
"""

import asyncio
from dataclasses import dataclass

import autogen_core as autogen

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade
from session_router.runtimes.autogen import AutoGenRuntime

DATABASE = "sqlite:///examples.db"


@dataclass
class Message:
    session_id: str
    text: str


class Writer(autogen.RoutedAgent):
    def __init__(self, manager: SessionManager) -> None:
        super().__init__("writes until it is stopped")
        self._manager = manager

    def trigger_transient_cancel(self) -> None:  # called in the process in which it writes
        self._is_stopped = True

    @autogen.message_handler
    async def answer(self, message: Message, ctx: autogen.MessageContext) -> Message:
        answer, self._is_stopped = Message(message.session_id, "It wrote"), False
        stream_id = await self._manager.register_agent(message.session_id, self.id)
        try:
            while not self._is_stopped:
                answer.text += " word"
                print("word", flush=True)
                await asyncio.sleep(0.1)
        finally:
            await self._manager.unmark_agent_streaming(message.session_id, self.id, stream_id)
        return answer


async def main() -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    runtime = autogen.SingleThreadedAgentRuntime()
    async with SessionManager(repository, AutoGenRuntime(runtime)) as manager:
        await Writer.register(runtime, "writer", lambda: Writer(manager))
        runtime.start()
        question = Message("chat-1", "What is new?")
        answer = await runtime.send_message(question, autogen.AgentId("writer", "alice"))
        print(answer.text)
        await runtime.stop()
    await repository.close()


asyncio.run(main())
