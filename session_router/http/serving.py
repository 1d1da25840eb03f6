"""Serving an ASGI application on sockets, with uvicorn."""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from session_router.http.connections import ACCEPTED_AT_ONCE, Connections, limit_of_this_process
from session_router.http.protocol import HEADER_SEC, Protocol
from session_router.http.sockets import BACKLOG


@asynccontextmanager
async def serving(
    app: ASGIApp,
    sockets: list[socket.socket],
    *,
    end_within_sec: float,
    header_sec: float = HEADER_SEC,
    connections: int | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve until the block ends; yields what serves, which ends earlier only by an error.

    Args:
        sockets: listening already; they are closed in the end.
        end_within_sec: how many seconds the requests under way have at the end.
        header_sec: how many seconds a request's header may take.
        connections: how many may be open; left out, as many as the process has files for.
    """
    among = Connections(connections or limit_of_this_process())
    protocol: Any = partial(Protocol, connections=among, header_sec=header_sec)
    server = _Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=ACCEPTED_AT_ONCE,
            timeout_graceful_shutdown=math.ceil(end_within_sec),
        )
    )
    served = asyncio.create_task(server.serve(sockets))
    try:
        yield served
    finally:
        server.should_exit = True
        await served


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Let more connections wait than are accepted at once, which is the backlog to asyncio."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `Stopping`, which knows of the drain period."""
        yield
