"""From errors to problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from session_router import problems
from session_router.errors import InvalidValueError, SessionBusyError, SessionRouterError
from session_router.http.raw_path import path_of
from session_router.problems import (
    Fault,
    ProblemError,
    ProblemKind,
    StreamInTheWay,
    problem_response,
)

_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


def install(app: FastAPI) -> None:
    """Make the app answer errors with problem documents; `Guard` does so for all others."""
    app.add_exception_handler(SessionRouterError, problems.on_our_error)
    app.add_exception_handler(SessionBusyError, _on_busy_session)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return problem_response(error.kind, error.detail, headers=error.headers)


async def _on_busy_session(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SessionBusyError)
    streams = [
        StreamInTheWay(
            stream_id=stream_id,
            agent_id=agent_id,
            href=path_of(request, "sessions", error.session_id, "streams", str(stream_id)),
        )
        for stream_id, agent_id in error.streams.items()
    ]
    return problem_response(problems.SESSION_BUSY, str(error), streams=streams)


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    for fault in found:
        refused = fault.get("ctx", {}).get("error")
        if isinstance(refused, InvalidValueError):
            return problem_response(problems.INVALID_VALUE, str(refused))
        if fault["type"] == "json_invalid":
            return _malformed(f"{refused} at character {fault['loc'][-1]}")
    if isinstance(error.body, bytes):
        return _wrong_content_type(request)
    faults = [_fault(fault) for fault in found]
    detail = "; ".join(f"{fault.location}: {fault.detail}" for fault in faults)
    return problem_response(problems.INVALID_REQUEST, f"{detail}.", errors=faults)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        detail = "there is nothing at this path; inside an id, write a slash as %2F."
        return problem_response(problems.PATH_NOT_FOUND, detail)
    if error.status_code == 405:
        allowed = ", ".join(_methods_at(request))
        detail = f"{request.method!a} is not possible at this path; use {allowed}."
        return problem_response(problems.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
    if error.status_code == 400:
        return _malformed(error.detail)
    status = HTTPStatus(error.status_code)
    name = status.name.lower().replace("_", "-")
    return problem_response(ProblemKind(name, status, status.phrase), error.detail)


def _malformed(said: str) -> JSONResponse:
    return problem_response(
        problems.MALFORMED_BODY, f"the body cannot be read ({said}); send JSON in UTF-8."
    )


def _wrong_content_type(request: Request) -> JSONResponse:
    given = request.headers.get("content-type", "")
    return problem_response(
        problems.WRONG_CONTENT_TYPE,
        f"the body has the content type {given[:80]!a}; send it as application/json.",
    )


def _methods_at(request: Request) -> list[str]:
    """Which methods the path takes: the router's own answer names those of one route only."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def _fault(fault: Mapping[str, Any]) -> Fault:
    given = ascii(fault["input"])
    shown = given if len(given) <= 80 else given[:77] + "..."
    return Fault(
        location=".".join(str(part) for part in fault["loc"]), detail=f"{fault['msg']} ({shown})"
    )
