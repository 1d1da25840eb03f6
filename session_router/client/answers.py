"""What the service answers, as values or as the errors that the library raises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

import httpx
from pydantic import TypeAdapter, ValidationError

from session_router.errors import (
    ContentionError,
    DatabaseError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    KeyRefusedError,
    OverloadedError,
    RefusedError,
    RequestReusedError,
    RequestUnderWayError,
    SchemaError,
    SessionBusyError,
    SessionOwnedError,
    SessionRouterError,
    StreamExistsError,
    StreamStoppedError,
    WorkerGoneError,
)

T = TypeVar("T")

_URN: Final = "urn:session-router:problem:"
_MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document (RFC 9457) of the service.

    Attributes:
        name: the last part of its `type`; empty where the answer is no problem document, as that
            of a proxy.
        detail: what happened, and what to do about it.
        streams: of a busy session, who is in the way: the agents by their `stream_id`.
        nothing_written: whether it is certain that the request did nothing, and may be sent again.
    """

    name: str
    status: int
    detail: str
    streams: dict[UUID, str]
    nothing_written: bool = False

    @classmethod
    def of(cls, answer: httpx.Response) -> "Problem":
        """What an answer that is no success says."""
        told = _document(answer)
        kind = told.get("type")
        if not isinstance(kind, str) or not kind.startswith(_URN):
            return cls("", answer.status_code, f"it answered {answer.status_code}", {})
        in_the_way = {UUID(s["stream_id"]): s["agent_id"] for s in told.get("streams", ())}
        detail = _with_faults(str(told.get("detail", "")), told.get("errors", ()))
        name = kind.removeprefix(_URN)
        nothing_written = name in _NOTHING_WRITTEN or told.get("nothing_written") is True
        return cls(name, answer.status_code, detail, in_the_way, nothing_written)

    def error(self, url: str, session_id: str, stream_id: UUID | None) -> SessionRouterError:
        """The error that the library raises for this.

        Args:
            url: the service's.
            session_id, stream_id: what the request was about, where it was about one.
        """
        if self.name == "session-busy":
            return SessionBusyError.of(session_id, self.streams)
        if self.name == "session-owned":
            return SessionOwnedError.of(session_id)
        if stream_id is not None and self.name in _OF_STREAMS:
            return _OF_STREAMS[self.name](stream_id)
        if self.status == 503 and self.name not in _ERRORS:
            return DatabaseUnavailableError(
                f"{self._said_by(url)}; try again.", nothing_written=self.nothing_written
            )
        if self.name:
            return _ERRORS.get(self.name, DatabaseError)(self._said_by(url))
        if self.status in (502, 504):
            return DatabaseUnavailableError(f"{self._said_by(url)}: it stands behind a proxy.")
        return DatabaseError(
            f"{self._said_by(url)}, and says no more; see that this is the URL of a "
            "session_router service."
        )

    def _said_by(self, url: str) -> str:
        return f"the service at {url} says: {self.detail}"


_NOTHING_WRITTEN: Final = {"overloaded", "contention", "too-many-connections"}
_OF_STREAMS: Final[dict[str, Callable[[UUID], SessionRouterError]]] = {
    "stream-exists": StreamExistsError.of,
    "stream-stopped": StreamStoppedError.of,
}
_ERRORS: Final[dict[str, type[SessionRouterError]]] = {
    "invalid-value": InvalidValueError,
    "invalid-request": InvalidValueError,
    "unauthenticated": KeyRefusedError,
    "forbidden": KeyRefusedError,
    "worker-gone": WorkerGoneError,
    "refused": RefusedError,
    "idempotency-key-reused": RequestReusedError,
    "request-under-way": RequestUnderWayError,
    "signal-not-found": RefusedError,
    "overloaded": OverloadedError,
    "contention": ContentionError,
    "wrong-schema": SchemaError,
    "deadline-exceeded": DeadlineExceededError,
}
KNOWN: Final = {"session-busy", "session-owned", *_NOTHING_WRITTEN, *_OF_STREAMS, *_ERRORS}
"""The problems that are told apart: these have errors of their own."""


def read(kind: TypeAdapter[T], answer: httpx.Response, field: str | None = None) -> T:
    """A value from an answer's JSON, or from one field of it.

    Raises:
        DatabaseError: it holds something else.
    """
    try:
        document = answer.json()
        return kind.validate_python(document if field is None else document[field])
    except (ValueError, KeyError, TypeError) as error:
        told = "its fields" if isinstance(error, ValidationError) else repr(error)
        raise DatabaseError(
            f"{answer.request.method} {answer.request.url.path} was answered with what this "
            f"version cannot read ({told}); use the same release on both sides."
        ) from error


def _document(answer: httpx.Response) -> dict[str, Any]:
    if not answer.headers.get("content-type", "").startswith(_MEDIA_TYPE):
        return {}
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _with_faults(detail: str, faults: Any) -> str:
    """An invalid request's detail names none of its faults."""
    told = "; ".join(f"{fault.get('location')}: {fault.get('detail')}" for fault in faults)
    return f"{detail} ({told})" if told else detail
