"""Problem documents (RFC 9457): what every error looks like over HTTP. It needs Starlette only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from session_router import logs
from session_router.errors import (
    ContentionError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    OverloadedError,
    RefusedError,
    RequestReusedError,
    RequestUnderWayError,
    SchemaError,
    SessionBusyError,
    SessionOwnedError,
    SessionRouterError,
    SignalNotFoundError,
    StreamExistsError,
    StreamStoppedError,
    WorkerGoneError,
    WorkerNotFoundError,
)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class ProblemKind:
    """A kind of problem, the same wherever it occurs.

    Attributes:
        name: the last part of its `type`.
        status: the HTTP status.
        title: the kind in a few words.
        passes: whether the same request may succeed in a moment, which `Retry-After` then says.
    """

    name: str
    status: int
    title: str
    passes: bool = False

    @property
    def type(self) -> str:
        return f"urn:session-router:problem:{self.name}"


INVALID_VALUE: Final = ProblemKind("invalid-value", 400, "A value is not acceptable")
MALFORMED_BODY: Final = ProblemKind("malformed-body", 400, "The body is not JSON")
MALFORMED_REQUEST: Final = ProblemKind("malformed-request", 400, "The request is not HTTP")
UNAUTHENTICATED: Final = ProblemKind("unauthenticated", 401, "A key is needed")
FORBIDDEN: Final = ProblemKind("forbidden", 403, "The key is not for this")
CROSS_SITE: Final = ProblemKind("cross-site", 403, "Another site's page may not change anything")
SESSION_NOT_FOUND: Final = ProblemKind("session-not-found", 404, "The session does not live")
PATH_NOT_FOUND: Final = ProblemKind("path-not-found", 404, "There is nothing at this path")
METHOD_NOT_ALLOWED: Final = ProblemKind(
    "method-not-allowed", 405, "This path does not take the method"
)
TOO_SLOW: Final = ProblemKind("too-slow", 408, "The request did not arrive in time")
BODY_TOO_LARGE: Final = ProblemKind("body-too-large", 413, "The body is too large")
WRONG_CONTENT_TYPE: Final = ProblemKind(
    "wrong-content-type", 415, "The body's content type is not JSON's"
)
WRONG_HOST: Final = ProblemKind("wrong-host", 421, "The service does not answer to this host")
INVALID_REQUEST: Final = ProblemKind("invalid-request", 422, "The query or the body is not valid")
STREAM_NOT_FOUND: Final = ProblemKind("stream-not-found", 404, "The stream does not live")
REQUEST_NOT_FOUND: Final = ProblemKind("request-not-found", 404, "The trail has no such interrupt")
SESSION_OWNED: Final = ProblemKind("session-owned", 409, "The session is another owner's")
SIGNAL_NOT_FOUND: Final = ProblemKind("signal-not-found", 404, "The worker has no such signal")
SESSION_BUSY: Final = ProblemKind("session-busy", 409, "Other streams are in the way")
STREAM_EXISTS: Final = ProblemKind("stream-exists", 409, "A stream of this name began before")
STREAM_STOPPED: Final = ProblemKind("stream-stopped", 409, "The stream was stopped already")
REQUEST_UNDER_WAY: Final = ProblemKind(
    "request-under-way", 409, "The request is being carried out", passes=True
)
KEY_REUSED: Final = ProblemKind(
    "idempotency-key-reused", 422, "The Idempotency-Key was another request's"
)
HEADER_TOO_LARGE: Final = ProblemKind("header-too-large", 431, "The header is too large")
REFUSED: Final = ProblemKind("refused", 422, "The database does not take these values")
INTERNAL_ERROR: Final = ProblemKind("internal-error", 500, "The service failed")
NOT_MEASURED: Final = ProblemKind("not-measured", 501, "Nothing is measured here")
DATABASE_UNAVAILABLE: Final = ProblemKind(
    "database-unavailable", 503, "The database is away", passes=True
)
OVERLOADED: Final = ProblemKind(
    "overloaded", 503, "Too many requests wait for the database", passes=True
)
CONTENTION: Final = ProblemKind("contention", 503, "Another change was in the way", passes=True)
WORKER_GONE: Final = ProblemKind(
    "worker-gone", 503, "The worker takes no more streams", passes=True
)
WORKER_NOT_FOUND: Final = ProblemKind("worker-gone", 410, "The worker is there no more")
WRONG_SCHEMA: Final = ProblemKind("wrong-schema", 503, "The database has other tables", passes=True)
TOO_MANY_CONNECTIONS: Final = ProblemKind(
    "too-many-connections", 503, "Too many connections are open", passes=True
)
SHUTTING_DOWN: Final = ProblemKind(
    "shutting-down", 503, "The service is shutting down", passes=True
)
DEADLINE_EXCEEDED: Final = ProblemKind("deadline-exceeded", 504, "The database was too slow")

_RETRY_AFTER_SEC: Final = "1"

INTERNAL_DETAIL: Final = (
    "the service failed on this request; whether the change happened is unknown. "
    "The cause is in the service's log."
)
_UNAVAILABLE_DETAIL: Final = (
    "the database cannot be reached or gave up; a change that was being committed may or may not "
    "have happened. Try again."
)
_NOT_BEGUN_DETAIL: Final = (
    "the database cannot be reached, gave up or does not answer; nothing was written. Try again."
)
_CONTENTION_DETAIL: Final = "another change was in the way; nothing was written. Try again."
_REFUSED_DETAIL: Final = (
    "the database does not take these values; nothing was written. The cause is in the service's "
    "log; send other values."
)
_SCHEMA_DETAIL: Final = (
    "the database's tables are not those of this version; whoever runs the service mends that "
    "with 'session-router db upgrade'."
)

# What drivers say can name hosts, users and tables: it goes to the log, and not to the client.
_ANSWERS: Final[Mapping[type[SessionRouterError], tuple[ProblemKind, str | None]]] = {
    InvalidValueError: (INVALID_VALUE, None),
    DeadlineExceededError: (DEADLINE_EXCEEDED, None),
    DatabaseUnavailableError: (DATABASE_UNAVAILABLE, _UNAVAILABLE_DETAIL),
    OverloadedError: (OVERLOADED, None),
    WorkerNotFoundError: (WORKER_NOT_FOUND, None),
    WorkerGoneError: (WORKER_GONE, None),
    SignalNotFoundError: (SIGNAL_NOT_FOUND, None),
    SessionBusyError: (SESSION_BUSY, None),
    SessionOwnedError: (SESSION_OWNED, None),
    StreamExistsError: (STREAM_EXISTS, None),
    StreamStoppedError: (STREAM_STOPPED, None),
    RequestReusedError: (KEY_REUSED, None),
    RequestUnderWayError: (REQUEST_UNDER_WAY, None),
    ContentionError: (CONTENTION, _CONTENTION_DETAIL),
    RefusedError: (REFUSED, _REFUSED_DETAIL),
    SchemaError: (WRONG_SCHEMA, _SCHEMA_DETAIL),
    SessionRouterError: (INTERNAL_ERROR, INTERNAL_DETAIL),
}


class Fault(BaseModel):
    """One value that was refused."""

    location: str = Field(description="Where it stands.", examples=["query.limit"])
    detail: str = Field(description="What is wrong with it.")


class StreamInTheWay(BaseModel):
    """A stream that is in the way of another one."""

    stream_id: UUID
    agent_id: str
    href: str = Field(
        description="Its path in this service; `/interrupt` behind it stops it.",
        examples=["/sessions/chat-1/streams/01980b0c-7c1e-7d55-a0d5-4c5d7a0c1d5e"],
    )


class Problem(BaseModel):
    """An error, as a problem document (RFC 9457)."""

    type: str = Field(
        description="The kind of problem; tells apart what shares a status.",
        examples=[SESSION_NOT_FOUND.type],
    )
    title: str = Field(description="The kind of problem in a few words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, and what to do about it.")
    request_id: str | None = Field(
        None, description="The request's name in the service's log: the answer's `X-Request-Id`."
    )
    nothing_written: bool | None = Field(
        None,
        description="True: the database is away, and it is certain that the request has changed "
        "nothing; so it may be repeated.",
    )
    errors: list[Fault] | None = Field(None, description="Of an invalid request: each fault.")
    streams: list[StreamInTheWay] | None = Field(
        None, description="Of a busy session: the streams in the way."
    )


class ProblemError(Exception):
    """Raised by a route to answer with a problem document."""

    def __init__(
        self, kind: ProblemKind, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def problem_response(
    kind: ProblemKind,
    detail: str,
    *,
    nothing_written: bool | None = None,
    errors: list[Fault] | None = None,
    streams: list[StreamInTheWay] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response that carries a problem document."""
    document = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail,
        request_id=logs.request_id.get(),
        nothing_written=nothing_written,
        errors=errors,
        streams=streams,
    )
    retry = {"Retry-After": _RETRY_AFTER_SEC} if kind.passes else {}
    return JSONResponse(
        document.model_dump(mode="json", exclude_none=True),
        kind.status,
        headers={**retry, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


async def on_our_error(request: Request, error: Exception) -> JSONResponse:
    """Answer one of this package's errors: what handles `SessionRouterError` in an application."""
    kind, detail = _answer_to(error)
    nothing_written = True if detail is _NOT_BEGUN_DETAIL else None
    if kind.status >= 500 or kind is REFUSED:
        logs.request_failed(request.method, request.scope["path"], kind.status, error)
    return problem_response(kind, detail or str(error), nothing_written=nothing_written)


def _answer_to(error: Exception) -> tuple[ProblemKind, str | None]:
    """The problem that an error is, and what is said of it; None: what the error says."""
    if isinstance(error, DeadlineExceededError) and error.in_the_way is not None:
        return CONTENTION, _CONTENTION_DETAIL
    may_say_so = DatabaseUnavailableError | DeadlineExceededError
    if isinstance(error, may_say_so) and error.nothing_written:
        return DATABASE_UNAVAILABLE, _NOT_BEGUN_DETAIL
    return _ANSWERS[next(kind for kind in type(error).__mro__ if kind in _ANSWERS)]


def stream_not_found(session_id: str, stream_id: UUID) -> ProblemError:
    """What to raise where nothing of that name streams in a session."""
    return ProblemError(
        STREAM_NOT_FOUND,
        f"no stream {stream_id} lives in session {session_id!a}: it has ended, or not begun.",
    )


def session_not_found(session_id: str) -> ProblemError:
    """What to raise where a session does not live."""
    return ProblemError(
        SESSION_NOT_FOUND,
        f"session {session_id!a} does not live: it was never started, or has ended or expired.",
    )


def documented(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of problems, for a route's `responses`."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(kind.title)
    return {
        status: {"model": Problem, "description": "; or: ".join(told)}
        for status, told in titles.items()
    }


def with_problem_media_type(openapi: dict[str, Any]) -> dict[str, Any]:
    """Put right the media type of problems: FastAPI documents every response as the route's."""
    for operations in openapi["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    [content] = response["content"].values()
                    response["content"] = {MEDIA_TYPE: content}
    return openapi
