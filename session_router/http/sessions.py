"""The routes of sessions."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from session_router.agent_id import AgentId
from session_router.events import SessionEvent, SignalOutcome
from session_router.http.callers import OR_IS_AGENT, Operator, Reader, Toucher, owner_for
from session_router.http.idempotency import MAY_BE_REPEATED, REPETITIONS, RequestId
from session_router.http.inputs import (
    STILL_OPEN,
    TAKES_JSON,
    Actor,
    Age,
    AgentType,
    Interrupt,
    Limit,
    Manager,
    NewLife,
    NewSession,
    Owner,
    Reason,
    SessionId,
    SessionIdInQuery,
)
from session_router.http.raw_path import path_of
from session_router.http.streams import Stream, shown
from session_router.problems import (
    SESSION_NOT_FOUND,
    SESSION_OWNED,
    documented,
    session_not_found,
)
from session_router.repository.changes import SessionFilter
from session_router.session import Session

router = APIRouter(prefix="/sessions", tags=["sessions"])

_LIVES = documented(SESSION_NOT_FOUND)
_OWNED = documented(SESSION_OWNED)
_LAST_EVENT_ID = 2**63 - 1


class SessionPage(BaseModel):
    """Live sessions, in the order of their ids."""

    items: list[Session]
    next: str | None = Field(
        description="The `after` of the next page; null when this is the last."
    )


class EventPage(BaseModel):
    """Events of one session id, in the order of the trail."""

    items: list[SessionEvent]
    next: int | None = Field(
        description="The `after` of the next page; null when this is the last."
    )


class Interrupted(BaseModel):
    """What an interrupt stops."""

    session_id: str
    interrupted: list[AgentId] = Field(description="The agents that were streaming.")
    streams: list[Stream] = Field(description="The streams of these agents, in the same order.")
    outcomes: dict[str, SignalOutcome | None] | None = Field(
        None,
        description="With `wait`: what became of each agent's signal; null while that is open.",
    )


@router.get("")
async def list_sessions(
    manager: Manager,
    caller: Reader,
    limit: Limit = 100,
    after: Annotated[SessionIdInQuery, Query(description="The `next` of the page before.")] = None,
    prefix: Annotated[SessionIdInQuery, Query(description="Only ids that begin so.")] = None,
    agent_type: Annotated[
        AgentType | None, Query(description="Only where an agent of this type streams.")
    ] = None,
    worker: Annotated[
        UUID | None, Query(description="Only where an agent streams in this worker.")
    ] = None,
    streaming: Annotated[
        bool | None, Query(description="Only where an agent streams, or where none does.")
    ] = None,
    idle_for: Annotated[
        Age | None, Query(description="Only those untouched for so many seconds.")
    ] = None,
    owner: Owner = None,
) -> SessionPage:
    """Read live sessions, a page at a time, each with the agents that stream in it."""
    matching = SessionFilter(
        prefix=prefix,
        agent_type=agent_type,
        worker_id=worker,
        streaming=streaming,
        idle_for=None if idle_for is None else timedelta(seconds=idle_for),
        owner=owner_for(caller, owner),
    )
    found = await manager.repository.list_sessions(after=after, limit=limit + 1, matching=matching)
    has_more = len(found) > limit
    return SessionPage(items=found[:limit], next=found[limit - 1].session_id if has_more else None)


@router.post("", status_code=201, responses=documented(SESSION_OWNED, *REPETITIONS) | TAKES_JSON)
async def start_new_session(
    manager: Manager,
    caller: Operator,
    request: Request,
    response: Response,
    request_id: RequestId,
    body: NewSession | None = None,
) -> Session:
    """Begin a fresh session. A live one of that id is replaced, its streams stopped."""
    asked = body or NewSession()
    session = await manager.start_new_session(
        # One that is made is the same whenever the request is repeated.
        asked.session_id or str(request_id or uuid4()),
        owner=owner_for(caller, asked.owner),
        timeout_minutes=asked.timeout_minutes,
        actor=caller.actor(None),
        request_id=request_id,
    )
    response.headers["Location"] = path_of(request, "sessions", session.session_id)
    return session


@router.put("/{session_id:segment}", responses=_OWNED | TAKES_JSON)
async def start_session(
    manager: Manager, caller: Operator, session_id: SessionId, body: NewLife | None = None
) -> Session:
    """Get or create a session, and touch it. A live one keeps its owner and its timeout."""
    asked = body or NewLife()
    return await manager.start_session(
        session_id,
        owner=owner_for(caller, asked.owner),
        timeout_minutes=asked.timeout_minutes,
        actor=caller.actor(None),
    )


@router.get("/{session_id:segment}", responses=_LIVES)
async def show_session(manager: Manager, caller: Reader, session_id: SessionId) -> Session:
    """Read a session, without a touch."""
    session = await manager.repository.find_session(session_id)
    if session is None or caller.owner not in (None, session.owner):
        raise session_not_found(session_id)
    return session


@router.delete("/{session_id:segment}", status_code=204, response_class=Response, responses=_LIVES)
async def end_session(
    manager: Manager,
    caller: Operator,
    session_id: SessionId,
    actor: Actor = None,
    reason: Reason = None,
) -> None:
    """End a session: its streams are stopped, their agents removed."""
    if not await manager.end_session(
        session_id, actor=caller.actor(actor), reason=reason, owner=caller.owner
    ):
        raise session_not_found(session_id)


@router.post("/{session_id:segment}/touch", responses=_LIVES, openapi_extra=OR_IS_AGENT)
async def touch_session(manager: Manager, caller: Toucher, session_id: SessionId) -> Session:
    """Touch a session, so that it does not expire, and read it."""
    session = await manager.get_session(session_id, owner=caller.owner)
    if session is None:
        raise session_not_found(session_id)
    return session


@router.post(
    "/{session_id:segment}/interrupt",
    responses=_LIVES
    | TAKES_JSON
    | MAY_BE_REPEATED
    | {202: {"model": Interrupted, "description": STILL_OPEN}},
    response_model_exclude_unset=True,
)
async def interrupt_session(
    manager: Manager,
    caller: Operator,
    http_request: Request,
    response: Response,
    session_id: SessionId,
    request_id: RequestId,
    body: Interrupt | None = None,
) -> Interrupted:
    """Stop what streams in a session now; the session lives on.

    `Location` is where its receipts are counted.
    """
    asked = body or Interrupt()
    request = await manager.request_interrupt(
        session_id,
        asked.agents,
        actor=caller.actor(asked.actor),
        reason=asked.reason,
        wait=asked.wait,
        owner=caller.owner,
        request_id=request_id,
    )
    if request is None:
        raise session_not_found(session_id)
    response.headers["Location"] = path_of(http_request, "interrupts", str(request.request_id))
    answer = Interrupted(
        session_id=session_id,
        interrupted=request.agents,
        streams=[shown(row) for row in request.streams],
    )
    if request.outcomes is not None:
        answer.outcomes = {str(agent): outcome for agent, outcome in request.outcomes.items()}
        if None in request.outcomes.values():
            response.status_code = 202
    return answer


@router.get("/{session_id:segment}/events")
async def list_events(
    manager: Manager,
    caller: Reader,
    session_id: SessionId,
    limit: Limit = 100,
    after: Annotated[
        int,
        Query(
            ge=0,
            le=_LAST_EVENT_ID,
            description="The `next` of the page before, or the last `event_id` that was read.",
        ),
    ] = 0,
) -> EventPage:
    """Read the audit trail of a session id, also after its end; empty when it never lived.

    Who goes on from the last `event_id` misses nothing: an event is told when none can appear
    before it any more. While another transaction keeps that open for longer than a second, the
    answer is 503.
    """
    found = await manager.repository.list_events(
        session_id, after=after, limit=limit + 1, owner=caller.owner
    )
    has_more = len(found) > limit
    return EventPage(items=found[:limit], next=found[limit - 1].event_id if has_more else None)
