"""A service in this process, on a real socket, over a repository that tests can look into."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from session_router import InMemorySessionRepository, SessionManager
from session_router.http import create_app
from session_router.http.serving import serving
from session_router.http.sockets import listening_sockets, url_of
from session_router.settings import Tuning


class ServedRepository(InMemorySessionRepository):
    """What a service keeps.

    Attributes:
        url: the service's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""


@asynccontextmanager
async def served(**tuning: Any) -> AsyncIterator[ServedRepository]:
    """Serve for the length of the block; its repository has the URL."""
    repository = ServedRepository()
    settings = Tuning(**{"poll_interval_sec": 0.02} | tuning)
    with listening_sockets("127.0.0.1", 0) as sockets:
        repository.url = url_of(sockets[0])
        async with SessionManager(repository, tuning=settings) as manager:
            app = create_app(manager)
            async with serving(app, sockets, end_within_sec=5):
                yield repository
                app.state.remote_workers.close()
