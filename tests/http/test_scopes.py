"""Each route has a scope, also one that somebody adds and no document tells of."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from session_router import InMemorySessionRepository, SessionManager
from session_router.access.keys import Scope
from session_router.http import create_app
from session_router.http.callers import Operator, Reader

OPEN: Final = {"/healthz", "/readyz", "/docs", "/openapi.json"}


@pytest.fixture
def app() -> FastAPI:
    return create_app(SessionManager(InMemorySessionRepository()))


def routes_of(routes: Iterable[Any]) -> Iterator[Any]:
    """The routes that answer, those of routers and of what is mounted included."""
    for route in routes:
        within = getattr(route, "original_router", route)
        if inner := getattr(within, "routes", None):
            yield from routes_of(inner)
        else:
            yield route


def scopes_of(dependant: Any) -> set[str]:
    """All that a route's dependencies ask for."""
    if dependant is None:
        return set()
    asked = set(getattr(dependant, "own_oauth_scopes", None) or ())
    asked |= set(getattr(dependant, "security_scopes", None) or ())
    return asked.union(*map(scopes_of, dependant.dependencies))


def without_a_scope(app: FastAPI) -> set[str]:
    """The paths of what anybody may ask."""
    return {
        route.path
        for route in routes_of(app.routes)
        if not scopes_of(getattr(route, "dependant", None)) & set(Scope)
    }


def test_every_route_has_a_scope_or_is_known_to_be_open(app: FastAPI) -> None:
    assert without_a_scope(app) == OPEN


def test_the_document_tells_the_scope_of_each_route(app: FastAPI) -> None:
    told = app.openapi()
    for path, methods in told["paths"].items():
        for operation in methods.values():
            scopes = [each["key"] for each in operation.get("security", [])]
            if path.endswith("/touch"):
                assert scopes == [["operate"], ["agent"]]
                continue
            assert (scopes == []) == (path in OPEN)
            assert all(len(needed) == 1 for needed in scopes)
            assert len(scopes) <= 1
    assert told["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def _answer() -> str:
    return "anything"


def _included(app: FastAPI) -> None:
    router = APIRouter(prefix="/added")
    router.get("")(_answer)
    app.include_router(router)


def _mounted(app: FastAPI) -> None:
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    inner.get("/added")(_answer)
    app.router.routes.append(Mount("/more", inner))


@pytest.mark.parametrize(
    "add",
    [
        lambda app: app.get("/added")(_answer),
        lambda app: app.post("/added", include_in_schema=False)(_answer),
        lambda app: app.add_route("/added", lambda _: PlainTextResponse("anything")),
        _included,
        _mounted,
    ],
    ids=["told", "hidden", "of Starlette's", "of a router", "mounted"],
)
def test_a_route_without_a_scope_that_is_added_is_found(
    app: FastAPI, add: Callable[[FastAPI], object]
) -> None:
    add(app)
    assert without_a_scope(app) == OPEN | {"/added"}


def test_a_route_with_a_scope_that_is_added_is_not(app: FastAPI) -> None:
    async def by_readers(caller: Reader) -> None:
        pass

    async def by_operators(caller: Operator) -> None:
        pass

    app.get("/read")(by_readers)
    app.get("/operated")(by_operators)
    assert without_a_scope(app) == OPEN
