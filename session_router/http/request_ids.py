"""A name for each request, by which its answer, its problem document and the log are matched."""

import re
from random import getrandbits
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_router import logs
from session_router.http.fields import first_field

_FIELD: Final = b"x-request-id"
# It is written to logs: no blank, no quote, nothing that another program might act on.
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,128}", re.ASCII)


def _new_id() -> str:
    """A name that no other request has; it is no secret, and so need not be hard to guess."""
    return f"{getrandbits(128):032x}"


class RequestIds:
    """ASGI middleware: takes the caller's `X-Request-Id`, or makes one, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = first_field(scope, _FIELD)
        request_id = given if given and _ACCEPTED.fullmatch(given) else _new_id()
        named_so = (_FIELD, request_id.encode())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), named_so]}
            await send(message)

        token = logs.request_id.set(request_id)
        try:
            await self._app(scope, receive, named)
        finally:
            logs.request_id.reset(token)
