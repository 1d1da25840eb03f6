"""The routes of interrupts: of many sessions at once, and what became of any."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from session_router.agent_id import AgentId
from session_router.events import SignalOutcome
from session_router.http.callers import Operator, Reader, owner_for
from session_router.http.idempotency import MAY_BE_REPEATED, RequestId
from session_router.http.inputs import TAKES_JSON, InterruptAll, Manager
from session_router.problems import REQUEST_NOT_FOUND, ProblemError, documented

router = APIRouter(prefix="/interrupts", tags=["interrupts"])


class InterruptedAll(BaseModel):
    """What an interrupt of many sessions has told to stop."""

    request_id: UUID = Field(description="Names the request; see `GET /interrupts/{request_id}`.")
    sessions: int = Field(description="In how many sessions.")
    streams: int = Field(description="How many streams.")
    dry_run: bool = Field(description="Whether they were only counted.")


class Undelivered(BaseModel):
    """A signal that did not stop its stream."""

    session_id: str
    agent_id: AgentId
    stream_id: UUID
    outcome: SignalOutcome
    detail: str | None


class ReceiptCounts(BaseModel):
    """What became of the signals of one request so far."""

    request_id: UUID
    requested_at: datetime
    delivered: int
    failed: int
    lost: int
    open: int
    undelivered: list[Undelivered] = Field(
        description="Those that failed or are lost, the oldest first, 1,000 at the most."
    )


@router.post("", status_code=202, responses=TAKES_JSON | MAY_BE_REPEATED)
async def interrupt_all(
    manager: Manager, caller: Operator, request_id: RequestId, body: InterruptAll
) -> InterruptedAll:
    """Stop the streams of all sessions, or those that match; the sessions live on.

    Answers when all are told to stop. A stream that is registered after its session's turn is
    not hit.
    """
    done = await manager.interrupt_all(
        agent_type=body.agent_type,
        worker_id=body.worker_id,
        older_than=None if body.older_than is None else timedelta(seconds=body.older_than),
        owner=owner_for(caller, body.owner),
        actor=caller.actor(body.actor),
        reason=body.reason,
        dry_run=body.dry_run,
        request_id=request_id,
    )
    return InterruptedAll(
        request_id=done.request_id,
        sessions=done.sessions,
        streams=done.streams,
        dry_run=body.dry_run,
    )


@router.get("/{request_id}", responses=documented(REQUEST_NOT_FOUND))
async def show_receipts(
    manager: Manager,
    caller: Reader,
    request_id: Annotated[UUID, Path(description="What the request was answered with.")],
) -> ReceiptCounts:
    """Read what became of an interrupt's signals so far, of one session or of many."""
    found = await manager.receipts(request_id, owner=caller.owner)
    if found is None:
        raise ProblemError(
            REQUEST_NOT_FOUND,
            f"the trail has no interrupt {request_id}; nor has it one that found nothing.",
        )
    return ReceiptCounts.model_validate(found, from_attributes=True)
