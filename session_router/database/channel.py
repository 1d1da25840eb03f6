"""The doorbell: how PostgreSQL wakes a worker that has a signal. It carries no truth."""

from uuid import UUID


def channel(worker_id: UUID) -> str:
    """The channel that one worker listens on, so that one signal wakes one worker."""
    return f"session_router_{worker_id.hex}"
