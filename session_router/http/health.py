"""The routes that orchestrators and load balancers ask."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from session_router import logs
from session_router.doorbell import WakeMode
from session_router.errors import SessionRouterError
from session_router.http.inputs import Manager
from session_router.problems import (
    DATABASE_UNAVAILABLE,
    SHUTTING_DOWN,
    ProblemError,
    documented,
)

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process is up."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Requests are welcome, and how the worker learns of interrupts at the moment."""

    status: Literal["ready"] = "ready"
    wake_ups: WakeMode = Field(
        description="Whether the worker is woken by PostgreSQL, or looks from time to time."
    )
    wake_ups_reason: str | None = Field(description="Why it polls.")


@router.get("/healthz")
async def healthz() -> Alive:
    """Whether the process is up; asks nobody else."""
    return Alive()


@router.get("/readyz", responses=documented(DATABASE_UNAVAILABLE, SHUTTING_DOWN))
async def readyz(manager: Manager, request: Request) -> Ready:
    """Whether requests are welcome: the service is not shutting down and its database answers."""
    if request.app.state.is_draining():
        raise ProblemError(SHUTTING_DOWN, "the service is shutting down; ask another worker.")
    try:
        await manager.repository.ping()
    except SessionRouterError as error:
        logs.request_failed(request.method, request.scope["path"], 503, error)
        raise ProblemError(
            DATABASE_UNAVAILABLE, "the database does not answer; the cause is in the service's log."
        ) from None
    wake_ups = manager.wake_ups
    return Ready(wake_ups=wake_ups.mode, wake_ups_reason=wake_ups.reason)
