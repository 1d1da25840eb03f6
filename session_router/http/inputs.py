"""What the routes take: ids from paths, pages, bodies, and the manager."""

import re
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from session_router.agent_id import TYPE_CHARACTER, AgentId, check_agent_type
from session_router.http.raw_path import decode_segment
from session_router.manager import SessionManager
from session_router.problems import (
    INVALID_VALUE,
    MALFORMED_BODY,
    WRONG_CONTENT_TYPE,
    documented,
)
from session_router.repository.changes import WhenBusy
from session_router.session import check_owner, check_session_id, check_timeout
from session_router.settings import TIMEOUT_LIMIT_MINUTES
from session_router.text import FREE_TEXT_LIMIT, NAME_LIMIT, STORABLE_CHARACTER

# For the description only: the values' own checks refuse with a message that says what to do.
NAME: Final[dict[str, Any]] = {
    "minLength": 1,
    "maxLength": NAME_LIMIT,
    "pattern": f"^{STORABLE_CHARACTER}+$",
}
"""What the document tells of a name."""
_TYPE: Final = NAME | {"pattern": f"^{TYPE_CHARACTER}+$"}
_LONGEST_WAIT_SEC: Final = 300
_SHORTEST_AGE_SEC: Final = 1e-6  # a timedelta has no shorter one
_LONGEST_AGE_SEC: Final = TIMEOUT_LIMIT_MINUTES * 60
_FREE_TEXT: Final[dict[str, Any]] = {
    "maxLength": FREE_TEXT_LIMIT,
    "pattern": f"^{STORABLE_CHARACTER}*$",
}


UUID_AS_EVER: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A UUID as it is written nearly always; UUID() takes it without its hyphens, too."""


def session_id_of(segment: str) -> str:
    """The session's id that a segment of a path names.

    Raises:
        InvalidValueError: it is none.
    """
    return check_session_id(decode_segment(segment))


SessionId = Annotated[
    str,
    Path(
        description="The session's id, percent-encoded, slashes included.", json_schema_extra=NAME
    ),
    BeforeValidator(session_id_of),
]
_AgentType = Annotated[
    str,
    Path(description="The agent's type.", json_schema_extra=_TYPE),
    BeforeValidator(decode_segment),
]
_AgentKey = Annotated[
    str,
    Path(description="The agent's key, percent-encoded, slashes included.", json_schema_extra=NAME),
    BeforeValidator(decode_segment),
]

SessionIdInQuery = Annotated[
    str | None, Query(json_schema_extra=NAME), BeforeValidator(check_session_id)
]
AgentType = Annotated[str, BeforeValidator(check_agent_type), Field(json_schema_extra=_TYPE)]
Age = Annotated[float, Field(ge=_SHORTEST_AGE_SEC, le=_LONGEST_AGE_SEC)]
"""Seconds ago."""
Limit = Annotated[int, Query(ge=1, le=1_000, description="How many items at the most.")]
Actor = Annotated[
    str | None,
    Query(description="Who asks, for the audit trail.", json_schema_extra=_FREE_TEXT),
]
Reason = Annotated[
    str | None, Query(description="Why, for the audit trail.", json_schema_extra=_FREE_TEXT)
]


async def _agent_id(agent_type: _AgentType, agent_key: _AgentKey) -> AgentId:
    return AgentId(agent_type, agent_key)


async def _manager(request: Request) -> SessionManager:
    manager: SessionManager = request.app.state.manager
    return manager


TAKES_JSON: Final = documented(INVALID_VALUE, MALFORMED_BODY, WRONG_CONTENT_TYPE)
"""The responses of a route that takes a body."""
STILL_OPEN: Final = "What of it is open still, when `wait` is over."

AgentInPath = Annotated[AgentId, Depends(_agent_id)]
Manager = Annotated[SessionManager, Depends(_manager)]


Owner = Annotated[
    str | None,
    Query(description="Only sessions of this owner.", json_schema_extra=NAME),
    BeforeValidator(check_owner),
]


class NewLife(BaseModel):
    """What a session has from its start."""

    model_config = ConfigDict(extra="forbid")

    owner: Annotated[str | None, BeforeValidator(check_owner)] = Field(
        None,
        description="Whose it is; left out, the key's owner, if the key has one.",
        json_schema_extra=NAME,
    )
    timeout_minutes: Annotated[float | None, BeforeValidator(check_timeout)] = Field(
        None,
        description="How long it lives without a touch; left out, as long as all do.",
        gt=0,
        le=TIMEOUT_LIMIT_MINUTES,
    )


class NewSession(NewLife):
    """Which session to begin anew."""

    session_id: Annotated[str, BeforeValidator(check_session_id)] | None = Field(
        None, description="Its id; left out, one is made.", json_schema_extra=NAME
    )


class Registration(BaseModel):
    """How to register a stream."""

    model_config = ConfigDict(extra="forbid")

    stream_id: UUID | None = Field(
        None, description="Its name, never used before; left out, one is made."
    )
    when_busy: WhenBusy = Field(
        WhenBusy.TAKE_OVER,
        description="What becomes of streams in the way: `take_over` supersedes them, `interrupt` "
        "interrupts and waits for them, `refuse` leaves them and answers 409.",
    )
    alone: bool = Field(
        False,
        strict=True,
        description="Whether any stream of the session is in the way, not only the agent's own.",
    )
    worker_id: UUID | None = Field(
        None,
        description="The remote worker that it streams in, in a stream of its own for each "
        "registration; left out, this service answers for it.",
    )


class StopRequested(BaseModel):
    """Who asks for a stop."""

    # A misspelt `agents` would stop all of them.
    model_config = ConfigDict(extra="forbid")

    actor: str | None = Field(
        None, description="Who asks, for the audit trail.", json_schema_extra=_FREE_TEXT
    )
    reason: str | None = Field(
        None, description="Why, for the audit trail.", json_schema_extra=_FREE_TEXT
    )


class Asked(StopRequested):
    """Who asks for a stop, and how long the receipts are waited for."""

    wait: float | None = Field(
        None,
        strict=True,
        gt=0,
        le=_LONGEST_WAIT_SEC,
        description="Answer when all signals are settled, or after so many seconds; 202 says that "
        "some are open still.",
    )


class Interrupt(Asked):
    """What to stop, and who asks for it."""

    agents: list[AgentId] | None = Field(None, description="Only these; left out, all.")


class InterruptAll(StopRequested):
    """Which streams of all sessions to stop, and who asks for it."""

    owner: Annotated[str | None, BeforeValidator(check_owner)] = Field(
        None, description="Only streams in sessions of this owner.", json_schema_extra=NAME
    )
    agent_type: AgentType | None = Field(None, description="Only streams of agents of this type.")
    worker_id: UUID | None = Field(None, description="Only streams in this worker.")
    older_than: Age | None = Field(
        None, strict=True, description="Only streams that began so many seconds ago, or before."
    )
    dry_run: bool = Field(False, strict=True, description="Count what matches, and stop nothing.")
