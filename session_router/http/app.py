"""The ASGI application."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router import problems
from session_router.access.callers import Callers
from session_router.console import console
from session_router.http import (
    agents,
    docs,
    handlers,
    health,
    interrupts,
    sessions,
    streams,
    workers,
)
from session_router.http.bounds import Bounds
from session_router.http.express import Express
from session_router.http.guard import Guard
from session_router.http.metrics import router as metrics_router
from session_router.http.origins import ANY_HOST, Hosts, Origins
from session_router.http.raw_path import RawPath, path_of
from session_router.http.request_ids import RequestIds
from session_router.http.telemetry import Telemetry
from session_router.manager import SessionManager
from session_router.release import release
from session_router.remote import RemoteWorkers
from session_router.repository import SQLAlchemySessionRepository

if TYPE_CHECKING:
    from session_router.telemetry.metrics import Metrics

_ANYWHERE = (
    problems.INVALID_VALUE,
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.CROSS_SITE,
    problems.TOO_SLOW,
    problems.BODY_TOO_LARGE,
    problems.WRONG_HOST,
    problems.INVALID_REQUEST,
    problems.HEADER_TOO_LARGE,
    problems.REFUSED,
    problems.INTERNAL_ERROR,
    problems.DATABASE_UNAVAILABLE,
    problems.OVERLOADED,
    problems.CONTENTION,
    problems.WRONG_SCHEMA,
    problems.DEADLINE_EXCEEDED,
)


class _App(FastAPI):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._telemetry_here = Telemetry(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.root_path or self._telemetry_here.is_on():
            await super().__call__(scope, receive, send)
        else:
            # Past FastAPI's own, which asks the environment anew whether there is telemetry.
            await Starlette.__call__(self, scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """With the express, unless a host has put layers or dependencies of its own in."""
        everything, layers = super().build_middleware_stack(), self.user_middleware
        if self.dependency_overrides or len(layers) > self.state.layers:
            return everything

        def outside(answer: ASGIApp) -> ASGIApp:
            for layer, args, options in reversed(layers[:-1]):  # the last is `RawPath`
                answer = layer(answer, *args, **options)
            return answer

        return Express(self, outside, everything)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = problems.with_problem_media_type(super().openapi())
        return self.openapi_schema


def create_app(
    manager: SessionManager,
    *,
    is_draining: Callable[[], bool] = lambda: False,
    hosts: Hosts = ANY_HOST,
    callers: Callers | None = None,
    metrics: "Metrics | None" = None,
) -> FastAPI:
    """Create the service over a manager.

    Args:
        manager: started by the caller, who also shuts it down when the app no longer serves.
        is_draining: whether the service is about to stop; `/readyz` then answers 503.
        hosts: the values of `Host` that it answers to; left out, that is the caller's to see to.
        callers: tells who may do what; left out, that is the caller's to see to, too.
        metrics: what `/metrics` tells, entered by the caller; left out, it answers 501.
    """
    app = _App(
        title="session_router",
        summary="Which sessions live, which agents stream in them, and how to stop them.",
        version=release() or "unknown",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # an empty id is refused, not sent elsewhere
        generate_unique_id_function=_operation_id,
    )
    app.state.manager = manager
    app.state.is_draining = is_draining
    app.state.callers = callers
    app.state.metrics = metrics
    app.state.remote_workers = RemoteWorkers(manager)
    # Heartbeats are the most frequent requests by far, and the first that matches is taken.
    of_workers = problems.documented(*_ANYWHERE, problems.WORKER_NOT_FOUND)
    app.include_router(workers.router, responses=of_workers)
    app.include_router(sessions.router, responses=problems.documented(*_ANYWHERE))
    of_agents = problems.documented(*_ANYWHERE, problems.WORKER_GONE, problems.WORKER_NOT_FOUND)
    app.include_router(agents.router, responses=of_agents)
    app.include_router(streams.router, responses=problems.documented(*_ANYWHERE))
    app.include_router(interrupts.router, responses=problems.documented(*_ANYWHERE))
    app.include_router(health.router)
    app.include_router(metrics_router, responses=problems.documented(*_ANYWHERE))
    docs.install(app)
    if isinstance(manager.repository, SQLAlchemySessionRepository):
        _mount_console(app, manager, callers)
    handlers.install(app)
    app.add_middleware(RawPath)
    app.add_middleware(Origins, hosts=hosts)
    app.add_middleware(Bounds)
    app.add_middleware(Guard, is_draining=is_draining)
    app.add_middleware(RequestIds)
    app.state.layers = len(app.user_middleware)
    return app


def _mount_console(app: FastAPI, manager: SessionManager, callers: Callers | None) -> None:
    """Where there is a database to be looked at."""

    @app.get("/", include_in_schema=False)
    @app.get("/console", include_in_schema=False)
    async def to_the_console(request: Request) -> RedirectResponse:
        return RedirectResponse(path_of(request, "console", ""))

    app.mount("/console", console(manager, callers))


def _operation_id(route: APIRoute) -> str:
    return route.name
