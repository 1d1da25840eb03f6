"""`GET /metrics`, and what serves it: metrics where the extra `metrics` is installed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from session_router.http.callers import Reader
from session_router.manager import SessionManager
from session_router.problems import FORBIDDEN, NOT_MEASURED, ProblemError, documented
from session_router.telemetry.board import Place

if TYPE_CHECKING:
    from session_router.telemetry.metrics import Metrics

router = APIRouter(tags=["health"])

_PROMETHEUS: Final = "prometheus_client"


@asynccontextmanager
async def measured(manager: SessionManager, place: Place | None) -> "AsyncIterator[Metrics | None]":
    """Metrics of a manager within the block; None where the extra is not installed."""
    try:
        from session_router.telemetry.metrics import Metrics
    except ModuleNotFoundError as error:
        if error.name != _PROMETHEUS:
            raise
        yield None
        return
    async with Metrics(manager, place=place) as metrics:
        yield metrics


@router.get("/metrics", response_class=PlainTextResponse, responses=documented(NOT_MEASURED))
async def scrape(request: Request, caller: Reader) -> PlainTextResponse:
    """Read the metrics of the service and of its whole database, as Prometheus does.

    They are of all owners, so a key that is for one owner only may not read them.
    """
    if caller.owner is not None:
        raise ProblemError(
            FORBIDDEN,
            f"the key of {caller.name!a} is for the sessions of {caller.owner!a} only, and metrics "
            "are of all sessions; use a key without an owner.",
        )
    metrics: Metrics | None = request.app.state.metrics
    if metrics is None:
        raise ProblemError(
            NOT_MEASURED,
            "nothing is measured here. For 'session-router serve', install the extra: pip install "
            "'session-router[metrics]'; an app of your own is given metrics by "
            "create_app(manager, metrics=...).",
        )
    accept = request.headers.get("accept", "")
    # In a thread, so that nobody else waits for text of many lines.
    content, media_type = await asyncio.to_thread(metrics.exposition, accept)
    return PlainTextResponse(content, headers={"Content-Type": media_type})
