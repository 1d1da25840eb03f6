"""A durable session service for multi-agent systems."""

from session_router.agent_id import AgentId
from session_router.errors import (
    AgentNotFoundError,
    ContentionError,
    DatabaseError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    EventLoopError,
    InvalidAgentIdError,
    InvalidDatabaseUrlError,
    InvalidSessionIdError,
    InvalidSettingError,
    InvalidValueError,
    KeyRefusedError,
    OutputError,
    OverloadedError,
    RefusedError,
    RequestReusedError,
    RequestUnderWayError,
    SchemaError,
    ServeError,
    SessionBusyError,
    SessionOwnedError,
    SessionRouterError,
    StreamExistsError,
    StreamStoppedError,
    UnsupportedError,
    WorkerGoneError,
)
from session_router.events import SessionEvent, SignalOutcome, StreamOutcome
from session_router.manager import SessionManager
from session_router.repository import (
    InMemorySessionRepository,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.repository.changes import WhenBusy
from session_router.repository.results import BulkInterrupt, Receipts, StopRequest, StreamInterrupt
from session_router.runtime import AgentRuntime, LocalAgentRuntime
from session_router.session import Session
from session_router.settings import Tuning
from session_router.worker.stream import AgentStream

__all__ = [
    "AgentId",
    "AgentNotFoundError",
    "AgentRuntime",
    "AgentStream",
    "BulkInterrupt",
    "ContentionError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DeadlineExceededError",
    "EventLoopError",
    "InMemorySessionRepository",
    "InvalidAgentIdError",
    "InvalidDatabaseUrlError",
    "InvalidSessionIdError",
    "InvalidSettingError",
    "InvalidValueError",
    "KeyRefusedError",
    "LocalAgentRuntime",
    "OutputError",
    "OverloadedError",
    "Receipts",
    "RefusedError",
    "RequestReusedError",
    "RequestUnderWayError",
    "SQLAlchemySessionRepository",
    "SchemaError",
    "ServeError",
    "Session",
    "SessionBusyError",
    "SessionEvent",
    "SessionManager",
    "SessionOwnedError",
    "SessionRepository",
    "SessionRouterError",
    "SignalOutcome",
    "StopRequest",
    "StreamExistsError",
    "StreamInterrupt",
    "StreamOutcome",
    "StreamStoppedError",
    "Tuning",
    "UnsupportedError",
    "WhenBusy",
    "WorkerGoneError",
]
