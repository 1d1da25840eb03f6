"""The last resort: whatever happens inside, a client gets a problem document."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_router import logs, problems

_CUT_OFF_DETAIL: Final = (
    "the service shut down before this request was done; whether the change happened is unknown."
)


class Guard:
    """ASGI middleware: answers what nobody expected, and logs it.

    Args:
        app: what is inside.
        is_draining: whether the service is shutting down, when requests may be cut off.
    """

    def __init__(self, app: ASGIApp, is_draining: Callable[[], bool]) -> None:
        self._app = app
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if has_begun or not self._is_draining():
                raise
            response = problems.problem_response(problems.SHUTTING_DOWN, _CUT_OFF_DETAIL)
            await response(scope, receive, send)
        except Exception as error:
            logs.request_crashed(scope["method"], scope["path"], error)
            if has_begun:
                raise
            response = problems.problem_response(problems.INTERNAL_ERROR, problems.INTERNAL_DETAIL)
            await response(scope, receive, send)
