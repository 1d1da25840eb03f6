"""Real AutoGen agents on AutoGen's own runtime, stopped through the manager."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from autogen_core import (
    AgentId as AutoGenId,
)
from autogen_core import (
    AgentRuntime,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    message_handler,
)

from session_router import SessionManager, SessionRepository
from session_router.events import EventName, SignalOutcome
from session_router.runtimes.autogen import AutoGenRuntime
from tests.support.laws import violations
from tests.support.waiting import eventually


@dataclass
class Question:
    session_id: str


class Writer(RoutedAgent):
    """Streams until it is stopped, as an application's agent would."""

    instances: list["Writer"] = []  # noqa: RUF012 - what the runtime made, for the test to see

    def __init__(self, manager: SessionManager) -> None:
        super().__init__("streams words")
        self._manager = manager
        self._stop = asyncio.Event()
        self.streaming = asyncio.Event()
        self.was_closed = False
        self.instances.append(self)

    def trigger_transient_cancel(self) -> None:
        self._stop.set()

    @message_handler
    async def answer(self, message: Question, ctx: MessageContext) -> str:
        self._stop.clear()
        stream_id = await self._manager.register_agent(message.session_id, self.id)
        self.streaming.set()
        await self._stop.wait()
        await self._manager.unmark_agent_streaming(message.session_id, self.id, stream_id)
        self.streaming.clear()
        return "stopped"

    async def close(self) -> None:
        self.was_closed = True


@pytest.fixture
async def runtime() -> AsyncIterator[SingleThreadedAgentRuntime]:
    Writer.instances.clear()
    runtime = SingleThreadedAgentRuntime()
    runtime.start()
    yield runtime
    await runtime.stop()


async def ask(
    runtime: AgentRuntime, manager: SessionManager, agent_id: AutoGenId
) -> asyncio.Task[object]:
    """Send a question, and return when the agent streams."""
    answer = asyncio.create_task(runtime.send_message(Question("chat"), agent_id))
    await eventually(lambda: any(writer.streaming.is_set() for writer in Writer.instances))
    session = await manager.get_session("chat")
    assert session is not None
    assert {str(agent) for agent in session.agents_streaming} == {str(agent_id)}
    return answer


@pytest.mark.parametrize("wrapped", [True, False])
async def test_an_agent_that_streams_is_stopped_by_an_interrupt(
    repository: SessionRepository, runtime: SingleThreadedAgentRuntime, wrapped: bool
) -> None:
    async with SessionManager(
        repository, AutoGenRuntime(runtime) if wrapped else runtime
    ) as manager:
        await Writer.register(runtime, "writer", lambda: Writer(manager))
        answer = await ask(runtime, manager, AutoGenId("writer", "alice"))
        [signalled] = await manager.interrupt_streaming_agents("chat", actor="a person")
        assert str(signalled) == "writer/alice"
        async with asyncio.timeout(60):
            assert await answer == "stopped"
        # The instance that streamed was told to stop, not a twin made for the occasion.
        assert len(Writer.instances) == 1
        assert not Writer.instances[0].was_closed
    events = await repository.list_events("chat")
    settled = [e.outcome for e in events if e.event is EventName.SIGNAL_SETTLED]
    assert settled == [SignalOutcome.DELIVERED]
    assert await violations(repository) == []


async def test_an_agent_is_removed_when_its_session_ends(
    repository: SessionRepository, runtime: SingleThreadedAgentRuntime
) -> None:
    async with SessionManager(repository, AutoGenRuntime(runtime)) as manager:
        await Writer.register(runtime, "writer", lambda: Writer(manager))
        answer = await ask(runtime, manager, AutoGenId("writer", "alice"))
        assert await manager.end_session("chat")
        async with asyncio.timeout(60):
            assert await answer == "stopped"
        first = Writer.instances[0]
        assert first.was_closed
        # The next message meets a fresh instance.
        again = await ask(runtime, manager, AutoGenId("writer", "alice"))
        assert not first.streaming.is_set()
        await manager.interrupt_streaming_agents("chat")
        await again
    assert await violations(repository) == []


async def test_an_unknown_agent_type_is_settled_as_failed(
    repository: SessionRepository, runtime: SingleThreadedAgentRuntime
) -> None:
    async with SessionManager(repository, AutoGenRuntime(runtime)) as manager:
        await manager.register_agent("chat", AutoGenId("nobody", "x"))
        await manager.interrupt_streaming_agents("chat")
    [settled] = [
        e for e in await repository.list_events("chat") if e.event is EventName.SIGNAL_SETTLED
    ]
    assert settled.outcome is SignalOutcome.FAILED
    assert settled.detail is not None
    assert "LookupError" in settled.detail
