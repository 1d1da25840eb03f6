"""Where sessions are kept: the contract, and its implementations."""

from session_router.repository.base import SessionRepository
from session_router.repository.memory import InMemorySessionRepository
from session_router.repository.sql import SQLAlchemySessionRepository

__all__ = ["InMemorySessionRepository", "SQLAlchemySessionRepository", "SessionRepository"]
