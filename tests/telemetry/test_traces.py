"""Spans: of operations, of streams' lives, and the links between a stop and what it stops."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from session_router import (
    AgentId,
    InMemorySessionRepository,
    SQLAlchemySessionRepository,
    StreamOutcome,
)
from session_router.errors import SessionOwnedError, UnsupportedError
from session_router.telemetry.traces import TracedSessionManager
from tests.support.waiting import eventually

WRITER = AgentId("writer", "ann")


class Spans:
    """A provider of its own, and what it has recorded."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def the(self, name: str) -> ReadableSpan:
        [span] = self.of(name)
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[SQLAlchemySessionRepository]:
    opened = SQLAlchemySessionRepository.from_url(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def manager(
    repository: SQLAlchemySessionRepository, spans: Spans
) -> AsyncIterator[TracedSessionManager]:
    async with TracedSessionManager(repository, tracer_provider=spans.provider) as manager:
        yield manager


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


async def words(tracer: trace.Tracer | None = None) -> AsyncIterator[str]:
    for word in ("it", "was"):
        if tracer is not None:
            with tracer.start_as_current_span("chat model"):
                pass
        yield word


async def for_ever() -> AsyncIterator[str]:
    yield "it"
    await asyncio.Event().wait()


async def test_each_operation_is_a_span_of_its_session_and_agent(
    manager: TracedSessionManager, spans: Spans
) -> None:
    await manager.start_session("s", owner="acme")
    await manager.register_agent("s", WRITER)
    await manager.interrupt_streaming_agents("s", actor="bob")
    await manager.end_session("s")
    started = spans.the("session_router.start_session")
    assert dict(started.attributes or {}) == {"gen_ai.conversation.id": "s"}
    registered = dict(spans.the("session_router.register_agent").attributes or {})
    assert registered == {
        "gen_ai.conversation.id": "s",
        "gen_ai.agent.name": "writer",
        "gen_ai.agent.id": "writer/ann",
    }
    stopped = dict(spans.the("session_router.request_interrupt").attributes or {})
    assert stopped == {"gen_ai.conversation.id": "s", "session_router.streams": 1}
    assert len(spans.of("session_router.end_session")) == 1


async def test_what_fails_is_an_error_by_its_type(
    manager: TracedSessionManager, spans: Spans
) -> None:
    await manager.start_session("s", owner="acme")
    with pytest.raises(SessionOwnedError):
        await manager.start_session("s", owner="other")
    failed = spans.of("session_router.start_session")[1]
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.attributes or {})["error.type"] == "SessionOwnedError"


async def test_a_streams_life_is_a_span_around_what_its_source_does(
    manager: TracedSessionManager, spans: Spans
) -> None:
    tracer = spans.provider.get_tracer("agent")
    with tracer.start_as_current_span("request"):
        stream = manager.stream("s", WRITER, words(tracer))
        assert [word async for word in stream] == ["it", "was"]
    life = spans.the("invoke_agent writer")
    assert dict(life.attributes or {}) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": "s",
        "gen_ai.agent.name": "writer",
        "gen_ai.agent.id": "writer/ann",
        "session_router.stream.id": str(stream.stream_id),
    }
    assert life.status.status_code is StatusCode.UNSET
    for inside in spans.of("chat model"):
        assert inside.parent is not None
        assert inside.parent.span_id == id_of(life)
    assert life.parent is not None
    assert life.parent.span_id == id_of(spans.the("request"))


async def test_a_source_that_fails_fails_its_span(
    manager: TracedSessionManager, spans: Spans
) -> None:
    async def failing() -> AsyncIterator[str]:
        yield "it"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        async for _ in manager.stream("s", WRITER, failing):
            pass
    life = spans.the("invoke_agent writer")
    assert life.status.status_code is StatusCode.ERROR
    assert (life.attributes or {})["error.type"] == "ValueError"


async def test_a_stop_is_linked_to_the_stream_that_it_stops_in_another_process(
    manager: TracedSessionManager, repository: SQLAlchemySessionRepository
) -> None:
    here, there = Spans(), Spans()
    async with (
        TracedSessionManager(repository, tracer_provider=there.provider) as worker,
        TracedSessionManager(repository, tracer_provider=here.provider) as front,
    ):
        stream = worker.stream("s", WRITER, for_ever)
        assert await anext(stream) == "it"
        await front.interrupt_streaming_agents("s", wait=30)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert stream.outcome is StreamOutcome.INTERRUPTED
        await eventually(lambda: there.of("invoke_agent writer"))
        named = worker.stream("t", WRITER, for_ever)
        assert await anext(named) == "it"
        await front.interrupt_stream("t", named.stream_id, wait=30)
        last = worker.stream("u", WRITER, for_ever)
        assert await anext(last) == "it"
        await front.end_session("u")
        await eventually(lambda: len(there.of("invoke_agent writer")) == 3)
    lives = [id_of(span) for span in there.of("invoke_agent writer")]
    for name, life in zip(
        ("request_interrupt", "interrupt_stream", "end_session"), lives, strict=True
    ):
        [link] = here.the(f"session_router.{name}").links
        assert link.context.span_id == life


async def test_a_manager_without_a_database_has_no_traces() -> None:
    with pytest.raises(UnsupportedError, match="SQLAlchemySessionRepository"):
        TracedSessionManager(InMemorySessionRepository())


async def test_sources_of_every_kind_are_traced_and_closed(
    manager: TracedSessionManager, spans: Spans
) -> None:
    closed: list[str] = []

    class Response:
        def __aiter__(self) -> "Response":
            return self

        async def __anext__(self) -> str:
            raise StopAsyncIteration

        async def close(self) -> None:
            closed.append("response")

    async def awaited() -> Response:
        return Response()

    for source in (Response(), Response, awaited, words, words()):
        async for _ in manager.stream("s", WRITER, source):
            pass
    assert len(closed) == 3
    assert len(spans.of("invoke_agent writer")) == 5
