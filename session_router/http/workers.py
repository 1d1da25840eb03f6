"""The routes of remote workers: programs in any language, which this service speaks for."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from session_router.events import SignalOutcome
from session_router.http.callers import Agent
from session_router.http.event_stream import SignalEvents
from session_router.http.inputs import NAME, TAKES_JSON, Manager
from session_router.http.raw_path import path_of
from session_router.problems import FORBIDDEN, SIGNAL_NOT_FOUND, ProblemError, documented
from session_router.remote import RemoteWorkers
from session_router.repository.records import Settlement
from session_router.text import FREE_TEXT_LIMIT, clip

router = APIRouter(prefix="/workers", tags=["workers"])

_LARGEST_PID = 2**31 - 1
_SETTLED_AT_ONCE = 1_000
_UNKNOWN_HOST = "unknown"


async def _remote_workers(request: Request) -> RemoteWorkers:
    workers: RemoteWorkers = request.app.state.remote_workers
    return workers


Workers = Annotated[RemoteWorkers, Depends(_remote_workers)]


async def check_own(workers: RemoteWorkers, worker_id: UUID, caller: Agent) -> None:
    """Refuse a worker that another key has entered.

    Raises:
        WorkerNotFoundError: there is no such worker.
        ProblemError: it is another key's.
    """
    if await workers.owner_of(worker_id) != caller.key_id:
        raise ProblemError(
            FORBIDDEN,
            f"worker {worker_id} was entered by another key; use that one, or enter a worker of "
            "your own by 'POST /workers'.",
        )


async def _own_worker(
    workers: Workers,
    caller: Agent,
    worker_id: Annotated[UUID, Path(description="The worker, entered by the same key.")],
) -> UUID:
    await check_own(workers, worker_id, caller)
    return worker_id


OwnWorker = Annotated[UUID, Depends(_own_worker)]


def _whole(value: object) -> object:
    """A number that JSON writes with a fraction of nothing is an integer all the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class NewWorker(BaseModel):
    """Where a worker runs, for those who look for it."""

    model_config = ConfigDict(extra="forbid")

    host: str | None = Field(
        None,
        description="Its host; left out, the address that it calls from.",
        json_schema_extra=NAME,
    )
    pid: Annotated[int, BeforeValidator(_whole)] = Field(
        0, strict=True, ge=0, le=_LARGEST_PID, description="Its process there."
    )


class WorkerEntered(BaseModel):
    """A worker, and what it owes for its lease."""

    worker_id: UUID
    lease_sec: float = Field(description="How long it is taken for alive without a heartbeat.")
    heartbeat_interval_sec: float = Field(description="How often to send one.")


class CarriedOut(StrEnum):
    """What may be said of a signal by whom it was for."""

    DELIVERED = "delivered"
    FAILED = "failed"


class SettlementItem(BaseModel):
    """What became of one signal."""

    model_config = ConfigDict(extra="forbid")

    signal_id: UUID
    outcome: CarriedOut = Field(
        description="`delivered`: the stream's source has closed. `failed`: it has not."
    )
    detail: str | None = Field(
        None,
        description=f"Why, for the audit trail; cut after {FREE_TEXT_LIMIT:,} characters.",
    )


class Settlements(BaseModel):
    """What became of signals."""

    model_config = ConfigDict(extra="forbid")

    items: list[SettlementItem] = Field(min_length=1, max_length=_SETTLED_AT_ONCE)


class Settled(BaseModel):
    """How many signals were settled now."""

    settled: int = Field(description="Those settled before are not counted.")


@router.post("", status_code=201, responses=TAKES_JSON)
async def enter_worker(
    manager: Manager,
    workers: Workers,
    caller: Agent,
    request: Request,
    response: Response,
    body: NewWorker | None = None,
) -> WorkerEntered:
    """Enter a worker, which belongs to the key that enters it.

    It lives as long as its heartbeats come; `GET /workers/{worker_id}/signals` tells it what to
    stop.
    """
    asked = body or NewWorker()
    host = asked.host
    if host is None:
        host = request.client.host if request.client else _UNKNOWN_HOST
    worker_id = await workers.enter(host, asked.pid, caller.key_id)
    response.headers["Location"] = path_of(request, "workers", str(worker_id))
    tuning = manager.tuning
    return WorkerEntered(
        worker_id=worker_id,
        lease_sec=tuning.lease_sec,
        heartbeat_interval_sec=tuning.heartbeat_interval_sec,
    )


@router.post("/{worker_id}/heartbeat", status_code=204, response_class=Response)
async def renew_lease(workers: Workers, worker_id: OwnWorker) -> None:
    """Renew a worker's lease."""
    await workers.beat(worker_id)


@router.get(
    "/{worker_id}/signals",
    status_code=200,
    response_class=SignalEvents,
    responses={
        200: {
            "description": "Events `signal`, each with a `SignalTold` as its data, in one line, "
            "and comments between them; `gone` is the last one where the worker is gone.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def tell_signals(workers: Workers, worker_id: OwnWorker) -> Response:
    """Tell a worker its signals: first all that are unsettled, the oldest first, then each new one.

    Each is told once on one connection, and again on the next one until it is settled; a worker
    with 1,000 unsettled signals is told further ones when it has settled some. The answer goes on
    until the client goes away, the worker is gone, or the service shuts down: connect again then.
    """
    await workers.check(worker_id)
    return SignalEvents(workers.connected(worker_id))


@router.post("/{worker_id}/settlements", responses=documented(SIGNAL_NOT_FOUND) | TAKES_JSON)
async def settle_signals(workers: Workers, worker_id: OwnWorker, body: Settlements) -> Settled:
    """Record what became of a worker's signals; all of them, or nothing."""
    settlements = [
        Settlement(
            item.signal_id,
            SignalOutcome(item.outcome),
            None if item.detail is None else clip(item.detail),
        )
        for item in body.items
    ]
    return Settled(settled=await workers.settle(worker_id, settlements))


@router.delete("/{worker_id}", status_code=204, response_class=Response)
async def stop_worker(workers: Workers, worker_id: OwnWorker) -> None:
    """Take a worker out: its streams finish `worker_stopped`, its signals settle `failed`."""
    await workers.leave(worker_id)
