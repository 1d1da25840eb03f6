"""The SQL repository: the only DML on sessions and streams, one module a subject."""

from session_router.repository.sql.repository import SQLAlchemySessionRepository

__all__ = ["SQLAlchemySessionRepository"]
