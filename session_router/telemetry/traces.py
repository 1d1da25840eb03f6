"""Spans for OpenTelemetry: of each operation, and of each stream's life.

Only its API is used: who wants the spans sets up the SDK. All names are here, in one place, since
the conventions for generative AI are still in development:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/
"""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

from opentelemetry import trace
from opentelemetry.trace import Span, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from session_router.agent_id import AgentId, AgentIdLike
from session_router.errors import UnsupportedError
from session_router.manager import SessionManager
from session_router.repository import SQLAlchemySessionRepository
from session_router.repository.base import SessionRepository
from session_router.repository.results import StopRequest, StreamInterrupt
from session_router.telemetry.trace_parents import TraceParents
from session_router.worker.source import OpenSource, Source
from session_router.worker.stream import AgentStream

T = TypeVar("T")

_OPERATION: Final = "gen_ai.operation.name"
_CONVERSATION: Final = "gen_ai.conversation.id"
_AGENT_NAME: Final = "gen_ai.agent.name"
_AGENT_ID: Final = "gen_ai.agent.id"
_STREAM: Final = "session_router.stream.id"
_STREAMS: Final = "session_router.streams"
_ERROR: Final = "error.type"
_INVOKE_AGENT: Final = "invoke_agent"
_PARENT: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()

_OPERATIONS: Final = (
    "start_session",
    "start_new_session",
    "get_session",
    "register_agent",
    "register_remote",
    "unmark_agent_streaming",
    "end_session",
    "expire_old_sessions",
    "request_interrupt",
    "interrupt_stream",
    "interrupt_all",
)
"""What a span is made of, under this name; what only calls one of them has none of its own."""

_LINKED: Final = ("request_interrupt", "interrupt_stream", "end_session", "start_new_session")
"""Those whose spans are linked to the spans of the streams that they may stop."""


class TracedSessionManager(SessionManager):
    """A manager whose operations and streams are spans; in all else a `SessionManager`.

    A stream's span begins when its source is opened and ends when that is closed; what the source
    does is inside of it. A stop's span has links to the spans of the streams that it stops, in
    whichever process these are. Where no span is recorded, nothing is read or written for it.

    Args:
        repository: of a database.
        given, options: as for `SessionManager`.
        tracer_provider: makes the spans; the global one when left out.

    Raises:
        UnsupportedError: the repository is none of a database.
    """

    def __init__(
        self,
        repository: SessionRepository,
        *given: Any,
        tracer_provider: TracerProvider | None = None,
        **options: Any,
    ) -> None:
        super().__init__(repository, *given, **options)
        if not isinstance(repository, SQLAlchemySessionRepository):
            raise UnsupportedError(
                f"{type(repository).__name__} keeps no traces; use SQLAlchemySessionRepository."
            )
        self.tracer: Tracer = trace.get_tracer("session_router", tracer_provider=tracer_provider)
        self.trace_parents = TraceParents(repository.engine, schema=repository.schema)

    def stream(
        self, session_id: str, agent_id: AgentIdLike, source: Source[T], **options: Any
    ) -> AgentStream[T]:
        """See `SessionManager.stream`."""
        ours = AgentId.of(agent_id)
        stream: AgentStream[T] = super().stream(
            session_id,
            agent_id,
            lambda: self._alive(session_id, ours, stream.stream_id, source),
            **options,
        )
        return stream

    @asynccontextmanager
    async def _alive(
        self, session_id: str, agent_id: AgentId, stream_id: UUID, source: Source[T]
    ) -> AsyncIterator[AsyncIterator[T]]:
        """The source, opened inside of its stream's span."""
        attributes = {
            _OPERATION: _INVOKE_AGENT,
            _CONVERSATION: session_id,
            _AGENT_NAME: agent_id.type,
            _AGENT_ID: str(agent_id),
            _STREAM: str(stream_id),
        }
        with self._span(f"{_INVOKE_AGENT} {agent_id.type}", attributes) as span:
            if span.is_recording():
                await self.trace_parents.note(session_id, stream_id, _traceparent())
            async with _opened(source) as iterator:
                yield iterator

    @contextmanager
    def _span(self, name: str, attributes: Mapping[str, str]) -> Iterator[Span]:
        """The current span within the block; an error there is told by its type as well."""
        with self.tracer.start_as_current_span(name, attributes=attributes) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute(_ERROR, type(error).__qualname__)
                raise


def _spanned(name: str) -> Callable[..., Awaitable[Any]]:
    """An operation of the manager, with a span around it."""
    operation = getattr(SessionManager, name)
    signature = inspect.signature(operation)

    @functools.wraps(operation)
    async def spanned(self: TracedSessionManager, *given: Any, **options: Any) -> Any:
        told = signature.bind(self, *given, **options).arguments
        with self._span(f"session_router.{name}", _attributes_of(told)) as span:
            parents: Mapping[UUID, str] = {}
            if name in _LINKED and span.is_recording():
                parents = await self.trace_parents.of_session(told["session_id"])
            done = await operation(self, *given, **options)
            _link(span, parents, done)
            return done

    return spanned


for _name in _OPERATIONS:
    setattr(TracedSessionManager, _name, _spanned(_name))


def _attributes_of(given: Mapping[str, Any]) -> dict[str, str]:
    told: dict[str, str] = {}
    if "session_id" in given:
        told[_CONVERSATION] = str(given["session_id"])
    if "agent_id" in given:
        agent_id = AgentId.of(given["agent_id"])
        told |= {_AGENT_NAME: agent_id.type, _AGENT_ID: str(agent_id)}
    if given.get("stream_id") is not None:
        told[_STREAM] = str(given["stream_id"])
    return told


def _link(span: Span, parents: Mapping[UUID, str], done: object) -> None:
    """Link a stop's span to those of the streams that it has stopped."""
    stopped: Collection[UUID] = parents
    if isinstance(done, StopRequest):
        stopped = {stream.stream_id for stream in done.streams}
        span.set_attribute(_STREAMS, len(stopped))
    elif isinstance(done, StreamInterrupt):
        stopped = {signal.stream_id for signal in done.signals}
    for stream_id in stopped:
        if (traceparent := parents.get(stream_id)) is not None:
            context = _W3C.extract({_PARENT: traceparent})
            span.add_link(trace.get_current_span(context).get_span_context())


def _traceparent() -> str:
    """The current span's context."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier[_PARENT]


class _Items(AsyncIterator[T]):
    """What another iterator gives; closing that is left to who has opened it."""

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator

    def __anext__(self) -> Awaitable[T]:
        return self._iterator.__anext__()


@asynccontextmanager
async def _opened(source: Source[T]) -> AsyncIterator[AsyncIterator[T]]:
    """A source, opened, and closed as a stream would."""
    opened, error = OpenSource(source), None
    try:
        yield _Items(await opened.open())
    except BaseException as caught:
        error = caught
        raise
    finally:
        for close in opened.closings(error):
            given = close()
            if inspect.isawaitable(given):
                await given
