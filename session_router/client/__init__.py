"""For programs that have no way to the database: the same interface, by way of the service.

It needs the extra `client`: `pip install 'session-router[client]'`.
"""

from session_router.client.manager import RemoteManager, connect
from session_router.client.repository import HttpRepository

__all__ = ["HttpRepository", "RemoteManager", "connect"]
