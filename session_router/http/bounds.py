"""What a request may weigh, and how long its body may take."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_router import problems
from session_router.http.fields import first_field

HEADER_BYTES: Final = 65_536
"""Room for two ids, an actor and a reason of the longest kind, percent-encoded."""
_HEADER_FIELDS: Final = 100
_BODY_BYTES: Final = 1_000_000
_BODY_SEC: Final = 30.0
# To close on what a client still sends would destroy the answer on its way.
_LINGER_SEC: Final = 2.0


class _ClientGoneError(Exception):
    """Before all of its body was there."""


class Bounds:
    """ASGI middleware: takes in each request's body before anything is done, or refuses it.

    What is refused is not kept, so that no request takes more memory than it may weigh, and its
    connection is closed.

    Args:
        app: what is inside; it sees requests that have arrived whole.
        body_sec: how many seconds a body may take.
    """

    def __init__(self, app: ASGIApp, body_sec: float = _BODY_SEC) -> None:
        self._app = app
        self._body_sec = body_sec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_header(scope)
            if not has_no_body(scope):
                receive = await self._taken_in(receive)
        except problems.ProblemError as refusal:
            await _refuse(refusal, receive, send)
        except TimeoutError:
            detail = f"the body did not arrive within {self._body_sec:g} s; nothing was done."
            await _refuse(problems.ProblemError(problems.TOO_SLOW, detail), receive, send)
        except _ClientGoneError:
            pass  # and nobody is there to be told anything
        else:
            await self._app(scope, receive, send)

    async def _taken_in(self, receive: Receive) -> Receive:
        """Read the body, and give what tells it again."""
        async with asyncio.timeout(self._body_sec):
            return _again(await _read(receive), receive)


def has_no_body(scope: Scope) -> bool:
    """Whether the header says that no body comes, as only HTTP/1 can say it by silence."""
    if not scope["http_version"].startswith("1"):
        return False
    for name, value in scope["headers"]:
        if name in (b"content-length", b"transfer-encoding") and value != b"0":
            return False
    return True


async def _refuse(refusal: problems.ProblemError, receive: Receive, send: Send) -> None:
    """Answer, drop for a moment what still comes, and have the connection closed."""
    response = problems.problem_response(
        refusal.kind, refusal.detail, headers={"Connection": "close"}
    )
    start = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SEC):
            while (await receive()).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_header(scope: Scope) -> None:
    fields, size = scope["headers"], 0
    for name, value in fields:
        size += len(name) + len(value)
    size += len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if len(fields) > _HEADER_FIELDS or size > HEADER_BYTES:
        raise problems.ProblemError(
            problems.HEADER_TOO_LARGE,
            f"the header has {len(fields)} fields and {size:,} bytes; send at most "
            f"{_HEADER_FIELDS} and {HEADER_BYTES:,}.",
        )
    declared = first_field(scope, b"content-length")
    if declared and declared.isdecimal() and int(declared) > _BODY_BYTES:
        raise _too_large()


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        body += message.get("body", b"")
        if len(body) > _BODY_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives what was read, and then what else comes."""
    is_given = False

    async def given() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return given


def _too_large() -> problems.ProblemError:
    return problems.ProblemError(
        problems.BODY_TOO_LARGE, f"the body is too large; send at most {_BODY_BYTES:,} bytes."
    )
