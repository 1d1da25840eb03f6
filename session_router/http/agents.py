"""The routes of agents that stream in a session."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from session_router.agent_id import AgentId
from session_router.events import StreamOutcome
from session_router.http.callers import Agent
from session_router.http.inputs import TAKES_JSON, AgentInPath, Manager, Registration, SessionId
from session_router.http.workers import Workers, check_own
from session_router.problems import (
    INVALID_VALUE,
    SESSION_BUSY,
    SESSION_OWNED,
    STREAM_EXISTS,
    STREAM_STOPPED,
    ProblemError,
    documented,
)
from session_router.repository.changes import Finish
from session_router.text import FREE_TEXT_LIMIT, clip

router = APIRouter(
    prefix="/sessions/{session_id:segment}/agents/{agent_type:segment}/{agent_key:segment}",
    tags=["agents"],
)


class Ended(StrEnum):
    """How a stream may end by itself."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"


class Registered(BaseModel):
    """An agent's stream."""

    session_id: str
    agent_id: AgentId
    stream_id: UUID = Field(description="Names this stream; to be given when it has ended.")
    timeout_minutes: float | None = Field(
        None,
        description="The session's own timeout, told to a remote worker: touch it more often.",
    )


@router.put(
    "",
    responses=documented(SESSION_BUSY, SESSION_OWNED, STREAM_EXISTS, STREAM_STOPPED) | TAKES_JSON,
    response_model_exclude_unset=True,
)
async def register_agent(
    manager: Manager,
    workers: Workers,
    caller: Agent,
    session_id: SessionId,
    agent_id: AgentInPath,
    body: Registration | None = None,
) -> Registered:
    """Mark an agent as streaming; creates or touches the session.

    A name that is given beforehand lets the stream be stopped before it begins.
    """
    asked = body or Registration()
    how = asked.model_dump(exclude={"worker_id"})
    how |= {"owner": caller.owner, "actor": caller.actor(None)}
    if asked.worker_id is None:
        stream_id = await manager.register_agent(session_id, agent_id, **how)
        return Registered(session_id=session_id, agent_id=agent_id, stream_id=stream_id)
    await check_own(workers, asked.worker_id, caller)
    did = await manager.register_remote(asked.worker_id, session_id, agent_id, **how)
    return Registered(
        session_id=session_id,
        agent_id=agent_id,
        stream_id=did.stream_id,
        timeout_minutes=did.timeout_minutes,
    )


@router.delete("", status_code=204, response_class=Response)
async def unmark_agent_streaming(
    manager: Manager,
    workers: Workers,
    caller: Agent,
    session_id: SessionId,
    agent_id: AgentInPath,
    stream_id: Annotated[UUID, Query(description="The stream that has ended.")],
    worker_id: Annotated[
        UUID | None, Query(description="The remote worker that it streamed in, and no other.")
    ] = None,
    outcome: Annotated[
        Ended | None, Query(description="How; `completed` where it is left out.")
    ] = None,
    detail: Annotated[
        str | None,
        Query(description=f"Why, for the audit trail; cut after {FREE_TEXT_LIMIT:,} characters."),
    ] = None,
) -> None:
    """End exactly that stream; one that has ended is no error.

    `outcome` and `detail` are for streams of remote workers.
    """
    if worker_id is not None:
        await check_own(workers, worker_id, caller)
        how, told = StreamOutcome(outcome or Ended.COMPLETED), detail and clip(detail)
        await workers.finish(
            Finish(
                session_id,
                agent_id,
                how,
                stream_id,
                worker_id,
                told,
                caller.owner,
                is_fenced=True,
            )
        )
    elif outcome is None and detail is None:
        await manager.unmark_agent_streaming(session_id, agent_id, stream_id, owner=caller.owner)
    else:
        raise ProblemError(
            INVALID_VALUE,
            "outcome and detail are for streams of remote workers; give the worker_id, too, or "
            "leave them out.",
        )
