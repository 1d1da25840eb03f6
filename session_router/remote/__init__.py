"""Workers that come over HTTP, and have no connection to the database of their own."""

from session_router.remote.workers import RemoteWorkers

__all__ = ["RemoteWorkers"]
