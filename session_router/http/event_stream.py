"""Server-sent events of one remote worker: its signals, as long as it reads them."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from session_router.events import SignalAction
from session_router.remote.connection import Connection
from session_router.repository.records import Signal

COMMENT_SEC: Final = 10.0
_COMMENT: Final = b":\n\n"
_GONE: Final = b"event: gone\ndata: {}\n\n"


class SignalTold(BaseModel):
    """The order to stop one stream: the data of an event `signal`."""

    signal_id: UUID
    request_id: UUID
    session_id: str
    agent_id: str
    stream_id: UUID
    action: SignalAction
    requested_at: datetime


class SignalEvents(Response):
    """Writes a connection's signals until the client goes away, or it is over.

    Args:
        connected: the connection, which is left in the end.
    """

    media_type = "text/event-stream"

    def __init__(self, connected: AbstractAsyncContextManager[Connection]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._connected = connected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._connected as connection, asyncio.TaskGroup() as group:
            watching = group.create_task(_end_with_client(connection, receive))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _write(connection, send)
            watching.cancel()


async def _end_with_client(connection: Connection, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.end()


async def _write(connection: Connection, send: Send) -> None:
    # A comment at once: some proxies hand on nothing before the first bytes of the body.
    await send(_part(_COMMENT))
    while not connection.is_over:
        await connection.stirred(COMMENT_SEC)
        told = connection.take()
        for signal in told:
            await send(_part(_event(signal)))
        if not told and not connection.is_over:
            await send(_part(_COMMENT))
    await send(_part(_GONE if connection.is_gone else b"", more=False))


def _part(content: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def _event(signal: Signal) -> bytes:
    told = SignalTold(
        signal_id=signal.signal_id,
        request_id=signal.request_id,
        session_id=signal.session_id,
        agent_id=str(signal.agent_id),
        stream_id=signal.stream_id,
        action=signal.action,
        requested_at=signal.requested_at,
    )
    return f"event: signal\nid: {signal.signal_id}\ndata: {told.model_dump_json()}\n\n".encode()
