"""What the routes take: ids from paths, pages, bodies, and the manager."""

from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from session_router.agent_id import AgentId
from session_router.http.raw_path import decode_segment
from session_router.manager import SessionManager
from session_router.session import check_session_id
from session_router.text import FREE_TEXT_LIMIT, NAME_LIMIT

# For the description only: the values' own checks refuse with a message that says what to do.
_NAME: Final[dict[str, Any]] = {"minLength": 1, "maxLength": NAME_LIMIT}
_LONGEST_WAIT_SEC: Final = 300
_FREE_TEXT: Final[dict[str, Any]] = {"maxLength": FREE_TEXT_LIMIT}


def _session_id(segment: str) -> str:
    return check_session_id(decode_segment(segment))


SessionId = Annotated[
    str,
    Path(
        description="The session's id, percent-encoded, slashes included.", json_schema_extra=_NAME
    ),
    BeforeValidator(_session_id),
]
_AgentType = Annotated[
    str,
    Path(description="The agent's type.", json_schema_extra=_NAME),
    BeforeValidator(decode_segment),
]
_AgentKey = Annotated[
    str,
    Path(
        description="The agent's key, percent-encoded, slashes included.", json_schema_extra=_NAME
    ),
    BeforeValidator(decode_segment),
]

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


AgentInPath = Annotated[AgentId, Depends(_agent_id)]
Manager = Annotated[SessionManager, Depends(_manager)]


class NewSession(BaseModel):
    """Which session to begin anew."""

    model_config = ConfigDict(extra="forbid")

    session_id: Annotated[str, BeforeValidator(check_session_id)] | None = Field(
        None, description="Its id; left out, one is made.", json_schema_extra=_NAME
    )


class Interrupt(BaseModel):
    """What to stop, and who asks for it."""

    # A misspelt `agents` would stop all of them.
    model_config = ConfigDict(extra="forbid")

    agents: list[AgentId] | None = Field(None, description="Only these; left out, all.")
    actor: str | None = Field(
        None, description="Who asks, for the audit trail.", json_schema_extra=_FREE_TEXT
    )
    reason: str | None = Field(
        None, description="Why, for the audit trail.", json_schema_extra=_FREE_TEXT
    )
    wait: float | None = Field(
        None,
        gt=0,
        le=_LONGEST_WAIT_SEC,
        description="Answer when all signals are settled, or after so many seconds.",
    )
