"""The composition root: from settings to a repository and a manager."""

from session_router.manager import SessionManager
from session_router.repository import SessionRepository, SQLAlchemySessionRepository
from session_router.settings import Settings


def repository_of(settings: Settings) -> SQLAlchemySessionRepository:
    """The repository that the settings describe; it is the caller's to close.

    Raises:
        InvalidDatabaseUrlError: a URL cannot be parsed, or names another database.
    """
    return SQLAlchemySessionRepository.from_url(
        settings.database_url.get_secret_value(),
        schema=settings.database_schema,
        deadline_sec=settings.operation_deadline_sec,
        listen_url=settings.listen_url.get_secret_value() if settings.listen_url else None,
    )


def manager_of(settings: Settings, repository: SessionRepository) -> SessionManager:
    """The manager that the settings describe, not started."""
    return SessionManager(
        repository,
        session_timeout_minutes=settings.session_timeout_minutes,
        cleanup_interval_sec=settings.cleanup_interval_sec,
        tuning=settings.tuning,
    )
