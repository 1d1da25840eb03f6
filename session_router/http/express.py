"""The requests that come most, answered without what FastAPI does for each request.

FastAPI describes their routes, as it does all others, and answers what is not plain; what a client
sees is the same either way.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from inspect import isawaitable, signature
from re import Pattern
from typing import Any, Final, get_args
from uuid import UUID

from fastapi import FastAPI
from fastapi.params import Depends, Security
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_router.access import Scope as AccessScope
from session_router.access.callers import Caller
from session_router.http import sessions, workers
from session_router.http.bounds import has_no_body
from session_router.http.callers import also_enough, caller_of, token_of
from session_router.http.fields import first_field
from session_router.http.inputs import UUID_AS_EVER, session_id_of
from session_router.http.raw_path import raw_path_of

_ENDPOINTS: Final = (
    sessions.touch_session,
    sessions.start_session,
    sessions.show_session,
    workers.renew_lease,
)
_SESSION: Final = "session_id"
_WORKER: Final = "worker_id"
_FOUND: Final = "session_router.express"

Outside = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True)
class _Route:
    """A route of a session, or of a worker that the caller's key has entered.

    Attributes:
        scopes: those that it asks for.
        or_has: the scope that does in their place.
        wants: the endpoint's parameters.
        answer: None where it answers that it is done.
    """

    pattern: Pattern[str]
    endpoint: Callable[..., Coroutine[Any, Any, Any]]
    scopes: Sequence[str]
    or_has: AccessScope | None
    wants: frozenset[str]
    answer: TypeAdapter[Any] | None

    @classmethod
    def of(cls, route: APIRoute) -> "_Route":
        parameters = signature(route.endpoint).parameters
        needed = {name for name, each in parameters.items() if each.default is each.empty}
        assert needed <= {"manager", "caller", "workers", _SESSION, _WORKER}, (route.name, needed)
        securities = list(_securities_of(route.endpoint))
        return cls(
            route.path_regex,
            route.endpoint,
            [scope for each in securities for scope in each.scopes or ()],
            next((also for each in securities if (also := also_enough(each))), None),
            frozenset(needed),
            None if route.response_model is None else TypeAdapter(route.response_model),
        )

    def id_in(self, path: str) -> str | None:
        """The id in a path, as it was sent; None where the path is not plainly of this route."""
        found = self.pattern.match(path)
        if found is None:
            return None
        if _SESSION in self.wants:
            return found[_SESSION]
        return found[_WORKER] if UUID_AS_EVER.fullmatch(found[_WORKER]) else None

    async def answered(self, state: Any, caller: Caller, segment: str) -> bytes | None:
        """What the endpoint answers."""
        given: dict[str, Any] = {"manager": state.manager, "caller": caller}
        if _SESSION in self.wants:
            given[_SESSION] = session_id_of(segment)
        else:
            given |= {"workers": state.remote_workers, _WORKER: UUID(segment)}
            await workers.check_own(state.remote_workers, given[_WORKER], caller)
        answer = await self.endpoint(**{name: given[name] for name in self.wants})
        return None if self.answer is None else self.answer.dump_json(answer)


def _securities_of(endpoint: Callable[..., Any]) -> Iterator[Security]:
    """What an endpoint asks of its caller, and what it depends on."""
    for parameter in signature(endpoint).parameters.values():
        for asked in get_args(parameter.annotation)[1:]:
            if isinstance(asked, Security):
                yield asked
            elif isinstance(asked, Depends) and asked.dependency is not None:
                yield from _securities_of(asked.dependency)


def _start_of(content: bytes | None) -> Message:
    if content is None:
        return {"type": "http.response.start", "status": 204, "headers": []}
    fields = [
        (b"content-length", b"%d" % len(content)),
        (b"content-type", b"application/json"),
    ]
    return {"type": "http.response.start", "status": 200, "headers": fields}


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
        for route in (*sessions.router.routes, *workers.router.routes):
            if isinstance(route, APIRoute) and route.endpoint in _ENDPOINTS:
                for method in route.methods or ():
                    self._routes.setdefault(method, []).append(_Route.of(route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"] and has_no_body(scope):
            path = raw_path_of(scope)
            below_root = path.removeprefix(scope.get("root_path", ""))
            for route in self._routes.get(scope["method"], ()):
                if (segment := route.id_in(below_root)) is not None:
                    told = {**scope, "path": path, _FOUND: (route, segment)}
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
            await send(_start_of(content))
            await send({"type": "http.response.body", "body": content or b""})

    async def _content(self, route: _Route, segment: str, scope: Scope) -> bytes | None:
        state = self._app.state
        token = token_of(first_field(scope, b"authorization"))
        caller = await caller_of(state.callers, token, route.scopes, or_has=route.or_has)
        return await route.answered(state, caller, segment)

    async def _problem(self, error: Exception, request: Request) -> Response:
        """As FastAPI answers it."""
        for kind in type(error).__mro__:
            if kind in self._app.exception_handlers:
                answer: Any = self._app.exception_handlers[kind](request, error)
                response: Response = await answer if isawaitable(answer) else answer
                return response
        raise error
