"""The routes of streams: each has a name, by which exactly it is stopped."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from session_router.agent_id import AgentId
from session_router.errors import SessionOwnedError
from session_router.events import SignalOutcome
from session_router.http.callers import Operator, Reader
from session_router.http.idempotency import MAY_BE_REPEATED, RequestId
from session_router.http.inputs import STILL_OPEN, TAKES_JSON, Asked, Manager, SessionId
from session_router.problems import (
    SESSION_NOT_FOUND,
    STREAM_NOT_FOUND,
    documented,
    session_not_found,
    stream_not_found,
)
from session_router.repository.records import StreamRow
from session_router.repository.results import Found

router = APIRouter(prefix="/sessions/{session_id:segment}/streams", tags=["streams"])

StreamId = Annotated[UUID, Path(description="The stream's name.")]


class Stream(BaseModel):
    """A stream, live or just stopped."""

    session_id: str
    stream_id: UUID
    agent_id: AgentId
    worker_id: UUID = Field(description="The worker that it runs in; nil where it was imported.")
    started_at: datetime


class StreamList(BaseModel):
    """The live streams of a session, in the order of their agents."""

    items: list[Stream]


class StreamInterrupted(BaseModel):
    """What the stop of one stream did."""

    session_id: str
    stream_id: UUID
    request_id: UUID = Field(description="Names the request; see `GET /interrupts/{request_id}`.")
    found: Found = Field(
        description="`live`: it is told to stop. `over`: it had ended. `ahead`: it had not begun, "
        "and ends at once if it does within `early_stop_sec`."
    )
    agent_id: AgentId | None = Field(None, description="Whose stream it is, where that is known.")
    outcome: SignalOutcome | None = Field(
        None, description="With `wait`: what became of the signal; null while that is open."
    )


@router.get("")
async def list_streams(manager: Manager, caller: Reader, session_id: SessionId) -> StreamList:
    """Read who streams in a session; nobody does where it does not live."""
    found = await manager.repository.list_streams(session_id, caller.owner)
    return StreamList(items=[shown(row) for row in found])


@router.get("/{stream_id}", responses=documented(STREAM_NOT_FOUND))
async def show_stream(
    manager: Manager, caller: Reader, session_id: SessionId, stream_id: StreamId
) -> Stream:
    """Read a live stream."""
    for row in await manager.repository.list_streams(session_id, caller.owner):
        if row.stream_id == stream_id:
            return shown(row)
    raise stream_not_found(session_id, stream_id)


@router.post(
    "/{stream_id}/interrupt",
    responses=documented(SESSION_NOT_FOUND)
    | TAKES_JSON
    | MAY_BE_REPEATED
    | {202: {"model": StreamInterrupted, "description": STILL_OPEN}},
)
async def interrupt_stream(
    manager: Manager,
    caller: Operator,
    response: Response,
    session_id: SessionId,
    stream_id: StreamId,
    request_id: RequestId,
    body: Asked | None = None,
) -> StreamInterrupted:
    """Stop exactly this stream, in whichever worker, even before it begins."""
    asked = body or Asked()
    try:
        did = await manager.interrupt_stream(
            session_id,
            stream_id,
            actor=caller.actor(asked.actor),
            reason=asked.reason,
            wait=asked.wait,
            owner=caller.owner,
            request_id=request_id,
        )
    except SessionOwnedError:
        raise session_not_found(session_id) from None
    if asked.wait is not None and did.found is Found.LIVE and did.outcome is None:
        response.status_code = 202
    return StreamInterrupted(
        session_id=session_id,
        stream_id=stream_id,
        request_id=did.request_id,
        found=did.found,
        agent_id=did.agent_id,
        outcome=did.outcome,
    )


def shown(row: StreamRow) -> Stream:
    """A stream as it is told over HTTP."""
    return Stream.model_validate(row, from_attributes=True)
