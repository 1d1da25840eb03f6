"""The composition root: from settings to a repository, a manager, and the keeper of a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from session_router.pseudonyms import ErasureKey
from session_router.repository import SessionRepository, SQLAlchemySessionRepository
from session_router.settings import Settings

if TYPE_CHECKING:
    from session_router.audit.keys import AuditKeys
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


def audit_keys_of(settings: Settings) -> AuditKeys:
    """The keys of pseudonyms and seals that are set.

    Raises:
        InvalidSettingError: one of them is no key.
        UnsupportedError: seals are signed, and the extra `seals` is not installed.
    """
    from session_router.audit.keys import AuditKeys, PrivateKey, PublicKey

    erasure, seal = settings.erasure_key, settings.seal_key
    former = settings.former_erasure_keys
    secrets = _listed(former.get_secret_value()) if former else []
    return AuditKeys(
        erasure=ErasureKey(erasure.get_secret_value()) if erasure else None,
        private=PrivateKey(seal.get_secret_value()) if seal else None,
        public=[PublicKey(each) for each in _listed(settings.seal_public_keys)],
        former=[ErasureKey(each, "SESSION_ROUTER_FORMER_ERASURE_KEYS") for each in secrets],
    )


def _listed(text: str | None) -> list[str]:
    """What stands in a setting of several, apart by commas."""
    return [each.strip() for each in (text or "").split(",") if each.strip()]
