"""Carrying out one signal in the worker that owns the stream."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Final
from uuid import UUID

from session_router import logs
from session_router.agent_id import AgentIdLike
from session_router.events import SignalAction, SignalOutcome
from session_router.logs import explain
from session_router.repository.records import Settlement
from session_router.runtime import AgentRuntime
from session_router.text import clip
from session_router.worker.local_streams import LocalStream, LocalStreams
from session_router.worker.reconciler import Reconciler

SUPERSEDED_DETAIL: Final = "superseded"
UNKNOWN_DETAIL: Final = "the stream is not known in this worker"


class Delivery:
    """Stops streams of this worker, through their iterator or the runtime.

    Args:
        streams: this worker's streams.
        runtime: what hosts the agents.
        limit_sec: how long a runtime may take for one cancel, or one removal.
        reconciler: brings `streams` up to date with what was ended by way of other workers.
    """

    def __init__(
        self,
        streams: LocalStreams,
        runtime: AgentRuntime,
        limit_sec: float,
        reconciler: Reconciler,
    ) -> None:
        self._streams = streams
        self._runtime = runtime
        self._limit_sec = limit_sec
        self._reconciler = reconciler
        self._overdue: set[asyncio.Future[str | None]] = set()

    async def carry_out(self, signal_id: UUID, stream_id: UUID, action: SignalAction) -> Settlement:
        """Stop one stream; whatever comes of it is told in the settlement, never raised."""
        stream = self._streams.find(stream_id)
        if stream is None:
            return Settlement(signal_id, SignalOutcome.FAILED, UNKNOWN_DETAIL)
        if stream.stop is None and await self._is_superseded(stream):
            self._streams.leave(stream_id)
            return Settlement(signal_id, SignalOutcome.FAILED, SUPERSEDED_DETAIL)
        if stream.stop is not None:  # which has a limit of its own
            fault = await self._fault_of("stop", stream.stop(), None)
        else:
            fault = await self._fault_of("cancel", self._cancel(stream), self._limit_sec)
        if action is SignalAction.CANCEL_AND_REMOVE and not self._streams.is_superseded(stream):
            removal = await self._fault_of("remove", self._remove(stream.given_id), self._limit_sec)
            fault = fault or removal
        self._streams.leave(stream_id)
        if fault:
            return Settlement(signal_id, SignalOutcome.FAILED, clip(fault))
        return Settlement(signal_id, SignalOutcome.DELIVERED)

    async def _is_superseded(self, stream: LocalStream) -> bool:
        """Whether a newer stream of the agent is here, and was not just ended elsewhere."""
        if not self._streams.is_superseded(stream):
            return False
        try:
            await self._reconciler.run_once()
        except Exception as error:  # it cannot be known; then no newer stream may be hit
            logs.reconcile_failed(error)
            return True
        return self._streams.is_superseded(stream)

    async def close(self) -> None:
        """Cancel what a runtime has not finished in its time, and wait a moment for it."""
        for task in self._overdue:
            task.cancel()
        if self._overdue:
            await asyncio.wait(self._overdue, timeout=self._limit_sec)

    async def _cancel(self, stream: LocalStream) -> str | None:
        instance = await self._runtime.try_get_underlying_agent_instance(stream.given_id)
        if self._streams.is_superseded(stream):
            return SUPERSEDED_DETAIL
        answer = instance.trigger_transient_cancel()
        if inspect.isawaitable(answer):
            await answer
        return None

    async def _remove(self, given_id: AgentIdLike) -> str | None:
        remove_agent = getattr(self._runtime, "remove_agent", None)
        if remove_agent is not None:
            await remove_agent(given_id)
        return None

    async def _fault_of(
        self, step: str, work: Awaitable[str | None], limit_sec: float | None
    ) -> str | None:
        """Do one step within the limit; returns what went wrong, which it may say itself.

        The step has a task of its own: one that swallows its cancellation is left behind.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit_sec)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            self._overdue.add(task)
            task.add_done_callback(self._forget)
            task.cancel()
            return f"{step} did not return within {limit_sec:g} s"
        if task.cancelled():
            return f"{step} was cancelled"
        error = task.exception()
        return task.result() if error is None else f"{step} raised {explain(error)}"

    def _forget(self, task: asyncio.Future[str | None]) -> None:
        self._overdue.discard(task)
        if not task.cancelled():
            task.exception()  # Settled as failed long ago; marks the error as seen.
