"""The doorbell: how PostgreSQL wakes a worker that has a signal. It carries no truth."""

from typing import Final
from uuid import UUID

APPLICATION_NAME: Final = "session_router listener"
"""What the listener's connection is called in `pg_stat_activity`."""


def channel(worker_id: UUID) -> str:
    """The channel that one worker listens on, so that one signal wakes one worker."""
    return f"session_router_{worker_id.hex}"
