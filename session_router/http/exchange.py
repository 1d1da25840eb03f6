"""One request and its answer on a connection."""

import asyncio
from typing import TYPE_CHECKING

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from session_router.http.protocol import Protocol


class Exchange(RequestResponseCycle):
    """A request whose header is there.

    Args:
        protocol: of the connection that it came on.
        expects_continue: whether the client sends the body only when it is asked to.
        keep_alive: whether the connection may be used again.
    """

    def __init__(self, protocol: "Protocol", *, expects_continue: bool, keep_alive: bool) -> None:
        super().__init__(
            scope=protocol.scope,
            transport=protocol.transport,
            flow=protocol.flow,
            logger=protocol.logger,
            access_logger=protocol.access_logger,
            access_log=protocol.access_log,
            default_headers=protocol.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=protocol.on_response_complete,
        )

    def give_up(self) -> None:
        """Have the application see that the client is gone."""
        self.disconnected = True
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """What comes of the request.

        Who has all of it waits without reading on: that would be the next request.
        """
        if self.more_body:
            return await super().receive()
        if not self.disconnected and not self.response_complete:
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}
