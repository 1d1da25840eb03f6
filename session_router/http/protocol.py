"""HTTP/1.1 on one connection: uvicorn's protocol, within limits, with problem documents."""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from session_router import problems
from session_router.http.bounds import HEADER_BYTES
from session_router.http.connections import Connections
from session_router.http.exchange import Exchange
from session_router.http.gathering import Gathering

HEADER_SEC: Final = 10.0
# Of many requests that are sent at once, so much is read ahead, and kept.
_PIECE_BYTES: Final = 2_048
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_NOTHING: Final = memoryview(b"")


class Protocol(HttpToolsProtocol):
    """One connection.

    Args:
        connections: all of them.
        header_sec: how many seconds a request's header may take, from the connection's beginning
            or the end of the request before.
    """

    cycle: Exchange | None  # type: ignore[assignment]  # of the last header that is there

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
        self._waits_since: float | None = None
        self._is_in_header = False
        self._was_asked = False
        self._unread = _NOTHING
        self._without_progress = 0
        self._framing = b""
        self._is_repeating = False
        self._refusal: tuple[problems.ProblemKind, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self.transport: Any = Gathering(transport, self.loop)
        self._all.enter(self)
        self._clock = self.loop.call_later(self._header_sec, self._look_at_clock)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unread = _NOTHING
        if self._clock is not None:
            self._clock.cancel()
        self._all.leave(self)

    def data_received(self, data: bytes) -> None:
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        self._read_on()

    def on_message_begin(self) -> None:
        if not self._is_repeating:
            self._is_in_header = self._was_asked = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_repeating:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # What stands behind a body in chunks is no part of the header, which was looked at already.
        if self._is_in_header:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._is_repeating:
            return
        self._is_in_header = False
        self._without_progress = 0
        self._check_header()
        self._framing = self._framing_if_upgrade()
        before, self.cycle = self.cycle, self._exchange()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._without_progress = 0
        if not self._framing:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._refuse(*self._refusal)
            return
        self.flow.resume_reading()
        self._read_on()

    def make_room(self) -> None:
        """Close at once; who has just come is told why."""
        if not self._was_asked:
            self._refuse(
                problems.TOO_MANY_CONNECTIONS,
                "too many connections are open; nothing was done. Try again, and close connections "
                "that you do not use.",
            )
        self.transport.abort()

    def _read_on(self) -> None:
        """Parse what was received, piece by piece, until a request has to wait for its turn."""
        while self._unread and self._may_read_on():
            piece, self._unread = self._unread[:_PIECE_BYTES], self._unread[_PIECE_BYTES:]
            self._without_progress += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                self._unread = memoryview(bytes(piece[upgrade.args[0] :]) + bytes(self._unread))
                self._decline_upgrade()
            except httptools.HttpParserError:
                self._stop_at(problems.MALFORMED_REQUEST, "Invalid HTTP request received.")
            if self._without_progress > HEADER_BYTES:
                detail = f"the header is too large; send at most {HEADER_BYTES:,} bytes."
                self._stop_at(problems.HEADER_TOO_LARGE, detail)
        if self._unread:
            self.flow.pause_reading()
        self._follow()

    def _may_read_on(self) -> bool:
        return not self.pipeline and self._refusal is None and not self.transport.is_closing()

    def _check_header(self) -> None:
        """See to what the parser does not.

        Raises:
            HttpParserError: this is not HTTP/1, or names two hosts, or none.
        """
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
            raise httptools.HttpParserError(version, hosts)

    def _framing_if_upgrade(self) -> bytes:
        """Where a client offers to change to another protocol: the fields that tell of its body."""
        if not self.parser.should_upgrade() or self.parser.get_method() == b"CONNECT":
            return b""
        told = [field for field in self.headers if field[0] in _FRAMING]
        return b"".join(b"%b: %b\r\n" % field for field in told)

    def _decline_upgrade(self) -> None:
        """Go on with HTTP, as there is nothing to change to; first with the body, if there is one.

        The parser takes what stands behind the header for the other protocol's. A new one, which
        is told of the body again, reads it as a body.
        """
        if self._framing:
            framing, self._framing = self._framing, b""
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn
            self._is_repeating = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
            self._is_repeating = False

    def _exchange(self) -> Exchange:
        version = self.parser.get_http_version()
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        self.scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        self.scope["query_string"] = query
        return Exchange(
            self,
            expects_continue=any(
                name == b"expect" and value.lower() == b"100-continue"
                for name, value in self.headers
            ),
            keep_alive=version == "1.1" and self._is_kept_alive(),
        )

    def _is_kept_alive(self) -> bool:
        # Asked for a tunnel, so that nobody knows how the client reads what follows.
        return self.parser.get_method() != b"CONNECT" and bool(self.parser.should_keep_alive())

    def _follow(self) -> None:
        """See what the client is waited for now."""
        if self.cycle is None or self.cycle.response_complete:
            if self._waits_since is None:
                self._waits_since = self.loop.time()
            self._all.wait_for(self)
        else:
            self._waits_since = None
            if self.cycle.more_body:
                self._all.wait_for(self)
            else:
                self._all.serve(self)

    def _look_at_clock(self) -> None:
        """One clock for all of a connection's requests: most are there long before it strikes."""
        now = self.loop.time()
        due = (now if self._waits_since is None else self._waits_since) + self._header_sec
        if due > now:
            self._clock = self.loop.call_at(due, self._look_at_clock)
        elif self._is_in_header:
            limit = f"within {self._header_sec:g} s"
            self._refuse(problems.TOO_SLOW, f"the header did not arrive {limit}; nothing was done.")
        else:
            self.transport.close()

    def _stop_at(self, kind: problems.ProblemKind, detail: str) -> None:
        """Refuse what cannot be read, after the answers to what could be."""
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(kind, detail)
        elif not self.cycle.more_body:
            self._refusal = (kind, detail)
        elif self.pipeline:
            self.pipeline.popleft()  # its body cannot be read
            self._refusal = (kind, detail)
        else:
            self._refuse(kind, detail)

    def _refuse(self, kind: problems.ProblemKind, detail: str) -> None:
        """Answer, unless an answer has begun, and close."""
        cycle = self.cycle
        if cycle is not None:
            cycle.give_up()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_answer(kind, detail))
        self.transport.close()


def _answer(kind: problems.ProblemKind, detail: str) -> bytes:
    response = problems.problem_response(kind, detail)
    fields = [*response.raw_headers, (b"connection", b"close")]
    header = b"".join(b"%b: %b\r\n" % field for field in fields)
    return STATUS_LINE[response.status_code] + header + b"\r\n" + bytes(response.body)
