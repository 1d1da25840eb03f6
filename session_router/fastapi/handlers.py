"""Answers to our errors, also where a route of the application raises them."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from session_router.errors import SessionRouterError
from session_router.problems import on_our_error


async def _on_our_error(connection: Request, error: Exception) -> Response:
    if connection.scope["type"] != "http":  # a WebSocket has no status to answer with
        raise error
    return await on_our_error(connection, error)


PROBLEM_HANDLERS: Final[
    dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]
] = {SessionRouterError: _on_our_error}
"""For `FastAPI(exception_handlers=...)`: each error of this package as a problem document."""
