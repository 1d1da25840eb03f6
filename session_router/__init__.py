"""A durable session service for multi-agent systems.

Each public name is imported when it is first asked for, so that whoever needs one, such as the
command line, does not wait for all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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
    from session_router.repository.results import (
        BulkInterrupt,
        Receipts,
        StopRequest,
        StreamInterrupt,
    )
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

_HOMES: Final = {
    "AgentId": "agent_id",
    "AgentRuntime": "runtime",
    "AgentStream": "worker.stream",
    "BulkInterrupt": "repository.results",
    "InMemorySessionRepository": "repository",
    "LocalAgentRuntime": "runtime",
    "Receipts": "repository.results",
    "SQLAlchemySessionRepository": "repository",
    "Session": "session",
    "SessionEvent": "events",
    "SessionManager": "manager",
    "SessionRepository": "repository",
    "SignalOutcome": "events",
    "StopRequest": "repository.results",
    "StreamInterrupt": "repository.results",
    "StreamOutcome": "events",
    "Tuning": "settings",
    "WhenBusy": "repository.changes",
}
"""The module of each public name; those that are left out are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    globals()[name] = getattr(home, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
