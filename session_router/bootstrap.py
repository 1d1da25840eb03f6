"""The composition root: from settings to a repository, a manager, and the keeper of a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_router.errors import InvalidSettingError
from session_router.pseudonyms import ErasureKey
from session_router.repository import SessionRepository, SQLAlchemySessionRepository
from session_router.settings import Settings

if TYPE_CHECKING:
    from session_router.manager import SessionManager


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


def manager_of(
    settings: Settings,
    repository: SessionRepository,
    kind: type[SessionManager] | None = None,
) -> SessionManager:
    """The manager that the settings describe, or another kind of it, not started."""
    if kind is None:  # imported here: what only reads takes less time to start without it
        from session_router.manager import SessionManager

        kind = SessionManager
    return kind(
        repository,
        session_timeout_minutes=settings.session_timeout_minutes,
        cleanup_interval_sec=settings.cleanup_interval_sec,
        tuning=settings.tuning,
    )


def erasure_key_of(settings: Settings) -> ErasureKey | None:
    """The key of pseudonyms and seals; None where none is set."""
    return ErasureKey(settings.erasure_key.get_secret_value()) if settings.erasure_key else None


def needed_erasure_key_of(settings: Settings) -> ErasureKey:
    """The same, where there is nothing to be done without it.

    Raises:
        InvalidSettingError: none is set.
    """
    key = erasure_key_of(settings)
    if key is None:
        raise InvalidSettingError(
            "SESSION_ROUTER_ERASURE_KEY is not set, and this needs it; set it to a secret of "
            "your own, such as the output of 'openssl rand -hex 32', and keep it."
        )
    return key
