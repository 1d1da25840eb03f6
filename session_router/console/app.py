"""The console as an ASGI application, for the service and for a host's own."""

import json
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_router import problems
from session_router.access.callers import Callers
from session_router.console import hooks, pages, sign_in, stops
from session_router.console.render import rendered
from session_router.console.requests import Served, SignInNeededError, is_of_page
from session_router.console.series import History
from session_router.errors import SessionRouterError, UnsupportedError
from session_router.hooks import HookStore
from session_router.manager import SessionManager
from session_router.problems import ProblemError
from session_router.repository import SQLAlchemySessionRepository
from session_router.watch import Watch

_SECURITY: Final = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    b"frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    # Without any, browsers would send `Origin: null` with what our own pages send.
    b"referrer-policy": b"same-origin",
}
_NOT_KEPT: Final = b"no-store"
_KEPT: Final = b"public, max-age=3600"
"""Files are asked for with the version of the package."""


def console(manager: SessionManager, callers: Callers | None = None) -> Starlette:
    """The console of the database that a manager is on; to be mounted in an application.

    `app.mount("/console", console(manager))` in an application on Starlette or FastAPI.

    Args:
        manager: started and shut down by the caller. Its repository must be on a database.
        callers: tells who may do what, by keys; left out, who may see and stop everything is for
            the application to see to.

    Raises:
        UnsupportedError: the manager's repository is not on a database.
    """
    repository = manager.repository
    if not isinstance(repository, SQLAlchemySessionRepository):
        raise UnsupportedError(
            f"the console reads a database, and {type(repository).__name__} is on none; give it "
            "a manager on SQLAlchemySessionRepository."
        )
    app = Starlette(
        routes=[
            Route("/", pages.index),
            Route("/overview", pages.overview),
            Route("/streams", pages.streams),
            Route("/workers", pages.workers),
            Route("/history", pages.history),
            Route("/hooks", hooks.hooks),
            Route("/send-again", hooks.send_again, methods=["POST"]),
            Route("/session", pages.session),
            Route("/story", pages.story),
            Route("/stop", stops.stop_stream, methods=["POST"]),
            Route("/stop-all", stops.ask_to_stop_all),
            Route("/stop-all", stops.stop_all, methods=["POST"]),
            Route("/receipts", stops.receipts),
            Route("/sign-in", sign_in.show),
            Route("/sign-in", sign_in.sign_in, methods=["POST"]),
            Route("/sign-out", sign_in.sign_out, methods=["POST"]),
            Mount("/static", StaticFiles(packages=[(__package__, "static")])),
        ],
        middleware=[Middleware(_Headers)],
        exception_handlers={
            SignInNeededError: _on_nobody,
            ProblemError: _on_problem,
            SessionRouterError: _on_our_error,
        },
    )
    watch, history = Watch(manager, repository), History(repository)
    store = HookStore(repository.engine, schema=repository.schema)
    app.state.served = Served(manager, watch, history, store, callers)
    return app


class _Headers:
    """ASGI middleware: what every answer carries, so that no script runs that is not ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))
        is_file = path.startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = _KEPT if is_file and message["status"] < 400 else _NOT_KEPT
                message["headers"] += [*_SECURITY.items(), (b"cache-control", kept)]
            await send(message)

        await self._app(scope, receive, with_headers)


async def _on_nobody(request: Request, _: Exception) -> Response:
    if is_of_page(request):
        return Response(status_code=401, headers={"HX-Redirect": "sign-in"})
    return RedirectResponse("sign-in", 303)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _told(request, error.kind.status, error.kind.title, error.detail)


async def _on_our_error(request: Request, error: Exception) -> Response:
    """As the service tells it, and logs it."""
    response = await problems.on_our_error(request, error)
    document: MutableMapping[str, Any] = json.loads(bytes(response.body))
    return _told(request, response.status_code, document["title"], document["detail"])


def _told(request: Request, status: int, title: str, detail: str) -> Response:
    if is_of_page(request):
        headers = {"HX-Retarget": "#fault", "HX-Reswap": "innerHTML"}
        return rendered("fault.html", status=status, headers=headers, title=title, detail=detail)
    return rendered("fault_page.html", status=status, title=title, detail=detail)
