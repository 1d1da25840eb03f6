"""The routes of agents that stream in a session."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from session_router.agent_id import AgentId
from session_router.http.callers import Agent
from session_router.http.inputs import TAKES_JSON, AgentInPath, Manager, Registration, SessionId
from session_router.problems import (
    SESSION_BUSY,
    SESSION_OWNED,
    STREAM_EXISTS,
    STREAM_STOPPED,
    documented,
)

router = APIRouter(
    prefix="/sessions/{session_id:segment}/agents/{agent_type:segment}/{agent_key:segment}",
    tags=["agents"],
)


class Registered(BaseModel):
    """An agent's stream."""

    session_id: str
    agent_id: AgentId
    stream_id: UUID = Field(description="Names this stream; to be given when it has ended.")


@router.put(
    "",
    responses=documented(SESSION_BUSY, SESSION_OWNED, STREAM_EXISTS, STREAM_STOPPED) | TAKES_JSON,
)
async def register_agent(
    manager: Manager,
    caller: Agent,
    session_id: SessionId,
    agent_id: AgentInPath,
    body: Registration | None = None,
) -> Registered:
    """Mark an agent as streaming; creates or touches the session.

    A name that is given beforehand lets the stream be stopped before it begins.
    """
    asked = body or Registration()
    stream_id = await manager.register_agent(
        session_id,
        agent_id,
        stream_id=asked.stream_id,
        when_busy=asked.when_busy,
        alone=asked.alone,
        owner=caller.owner,
    )
    return Registered(session_id=session_id, agent_id=agent_id, stream_id=stream_id)


@router.delete("", status_code=204)
async def unmark_agent_streaming(
    manager: Manager,
    caller: Agent,
    session_id: SessionId,
    agent_id: AgentInPath,
    stream_id: Annotated[UUID, Query(description="The stream that has ended.")],
) -> None:
    """End exactly that stream as completed; one that has ended is no error."""
    await manager.unmark_agent_streaming(session_id, agent_id, stream_id, owner=caller.owner)
