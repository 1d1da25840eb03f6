"""HTTP/1.1 on one connection: uvicorn's protocol, within deadlines, with problem documents."""

import asyncio
import sys
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from session_router import problems
from session_router.http.connections import Connections

HEADER_SEC: Final = 10.0


class Protocol(H11Protocol):
    """One connection.

    Args:
        connections: all of them.
        header_sec: how many seconds a request's header may take, from the connection's beginning
            or the end of the request before.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
        header_sec: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections
        self._header_sec = header_sec
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self._all.enter(self)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_clock()
        self._all.leave(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def make_room(self) -> None:
        """Close at once; who has just come is told why."""
        if self.conn.their_http_version is None:
            self._refuse(
                problems.TOO_MANY_CONNECTIONS,
                "too many connections are open; nothing was done. Try again, and close connections "
                "that you do not use.",
            )
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the form of every other error."""
        error = sys.exception()
        is_long = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        self._refuse(problems.HEADER_TOO_LARGE if is_long else problems.MALFORMED_REQUEST, msg)

    def _follow(self) -> None:
        """See what the client is waited for now."""
        theirs = self.conn.their_state
        if theirs is not h11.IDLE or self.transport.is_closing():
            self._stop_clock()
        elif self._clock is None:
            self._clock = self.loop.call_later(self._header_sec, self._too_late)
        if theirs in (h11.IDLE, h11.SEND_BODY):
            self._all.wait_for(self)
        else:
            self._all.serve(self)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_late(self) -> None:
        has_begun, _ = self.conn.trailing_data
        if has_begun:
            limit = f"within {self._header_sec:g} s"
            self._refuse(problems.TOO_SLOW, f"the header did not arrive {limit}; nothing was done.")
        else:
            self.transport.close()

    def _refuse(self, kind: problems.ProblemKind, detail: str) -> None:
        """Answer, unless an answer has begun, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = problems.problem_response(kind, detail)
            headers = [*response.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=response.status_code, headers=headers),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
