"""The requests that come most, answered without what FastAPI does for each request.

FastAPI describes their routes, as it does all others, and answers what is not plain; what a client
sees is the same either way.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from inspect import isawaitable, signature
from re import Pattern
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.params import Security
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from session_router.access import Scope as AccessScope
from session_router.http import sessions
from session_router.http.bounds import has_no_body
from session_router.http.callers import also_enough, caller_of, token_of
from session_router.http.fields import first_field
from session_router.http.inputs import session_id_of
from session_router.http.raw_path import raw_path_of

_ENDPOINTS: Final = (sessions.touch_session, sessions.start_session, sessions.show_session)
_FOUND: Final = "session_router.express"

Outside = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True)
class _Route:
    """A route that takes a manager, a session's id, and who calls.

    Attributes:
        scopes: those that it asks for.
        or_has: the scope that does in their place.
        wants_caller: whether the endpoint has a parameter for who calls.
    """

    pattern: Pattern[str]
    endpoint: Callable[..., Coroutine[Any, Any, Any]]
    scopes: Sequence[str]
    or_has: AccessScope | None
    wants_caller: bool
    answer: TypeAdapter[Any]

    @classmethod
    def of(cls, route: APIRoute) -> "_Route":
        parameters = signature(route.endpoint).parameters
        needed = {name for name, each in parameters.items() if each.default is each.empty}
        assert needed <= {"manager", "caller", "session_id"}, (route.name, needed)
        asked = [*route.dependencies]
        if "caller" in needed:
            asked += get_args(parameters["caller"].annotation)[1:]
        securities = [each for each in asked if isinstance(each, Security)]
        return cls(
            route.path_regex,
            route.endpoint,
            [scope for each in securities for scope in each.scopes or ()],
            next((also for each in securities if (also := also_enough(each))), None),
            "caller" in needed,
            TypeAdapter(route.response_model),
        )


class Express:
    """ASGI: takes requests with neither a query nor a body at a few routes.

    Args:
        app: whose state and handlers of errors it shares.
        outside: puts around what answers here what is around everything else.
        otherwise: answers all other requests.
    """

    def __init__(self, app: FastAPI, outside: Outside, otherwise: ASGIApp) -> None:
        self._app = app
        self._guarded = outside(self._answer)
        self._otherwise = otherwise
        self._routes: dict[str, list[_Route]] = {}
        for route in sessions.router.routes:
            if isinstance(route, APIRoute) and route.endpoint in _ENDPOINTS:
                for method in route.methods or ():
                    self._routes.setdefault(method, []).append(_Route.of(route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"] and has_no_body(scope):
            path = raw_path_of(scope)
            below_root = path.removeprefix(scope.get("root_path", ""))
            for route in self._routes.get(scope["method"], ()):
                if found := route.pattern.match(below_root):
                    told = {**scope, "path": path, _FOUND: (route, found["session_id"])}
                    await self._guarded(told, receive, send)
                    return
        await self._otherwise(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, segment = scope[_FOUND]
        try:
            content = await self._content(route, segment, scope)
        except Exception as error:
            response = await self._problem(error, Request(scope))
            await response(scope, receive, send)
        else:
            fields = [
                (b"content-length", b"%d" % len(content)),
                (b"content-type", b"application/json"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": content})

    async def _content(self, route: _Route, segment: str, scope: Scope) -> bytes:
        state = self._app.state
        token = token_of(first_field(scope, b"authorization"))
        caller = await caller_of(state.callers, token, route.scopes, or_has=route.or_has)
        given = {"caller": caller} if route.wants_caller else {}
        answer = await route.endpoint(
            manager=state.manager, session_id=session_id_of(segment), **given
        )
        return route.answer.dump_json(answer)

    async def _problem(self, error: Exception, request: Request) -> Response:
        """As FastAPI answers it."""
        for kind in type(error).__mro__:
            if kind in self._app.exception_handlers:
                answer: Any = self._app.exception_handlers[kind](request, error)
                response: Response = await answer if isawaitable(answer) else answer
                return response
        raise error
