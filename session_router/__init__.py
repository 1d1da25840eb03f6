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
    OutputError,
    OverloadedError,
    RefusedError,
    SchemaError,
    ServeError,
    SessionRouterError,
    WorkerGoneError,
)
from session_router.events import SessionEvent
from session_router.manager import SessionManager
from session_router.repository import (
    InMemorySessionRepository,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.runtime import LocalAgentRuntime
from session_router.session import Session

__all__ = [
    "AgentId",
    "AgentNotFoundError",
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
    "LocalAgentRuntime",
    "OutputError",
    "OverloadedError",
    "RefusedError",
    "SQLAlchemySessionRepository",
    "SchemaError",
    "ServeError",
    "Session",
    "SessionEvent",
    "SessionManager",
    "SessionRepository",
    "SessionRouterError",
    "WorkerGoneError",
]
