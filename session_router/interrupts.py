"""The use cases of stopping, which `SessionManager` inherits."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import timedelta
from typing import Final, overload
from uuid import UUID, uuid4

from session_router.agent_id import AgentId, AgentIdLike, check_agent_type
from session_router.checks import as_uuid
from session_router.events import SignalOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.changes import (
    BulkStop,
    Stop,
    StopStream,
    StreamFilter,
    fingerprint_of,
)
from session_router.repository.records import Requester
from session_router.repository.results import (
    BulkInterrupt,
    Found,
    Receipts,
    StopRequest,
    StreamInterrupt,
)
from session_router.session import check_owner, check_session_id
from session_router.settings import Tuning, check_positive
from session_router.text import check_free_text
from session_router.worker.receipts import receipts, settlements
from session_router.worker.worker import Worker

_BULK_BATCH: Final = 500
"""How many sessions one transaction of `interrupt_all` takes at the most."""


class Interrupts:
    """What stops streams: of a session, one by its name, or of many sessions."""

    repository: SessionRepository
    _tuning: Tuning

    @property
    def _worker(self) -> Worker:
        raise NotImplementedError

    @overload
    async def interrupt_streaming_agents(
        self,
        session_id: str,
        agents: Collection[AgentIdLike] | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
        wait: None = None,
        owner: str | None = None,
        request_id: UUID | str | None = None,
    ) -> list[AgentId]: ...

    @overload
    async def interrupt_streaming_agents(
        self,
        session_id: str,
        agents: Collection[AgentIdLike] | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
        wait: float,
        owner: str | None = None,
        request_id: UUID | str | None = None,
    ) -> dict[AgentId, SignalOutcome | None]: ...

    async def interrupt_streaming_agents(
        self,
        session_id: str,
        agents: Collection[AgentIdLike] | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
        owner: str | None = None,
        request_id: UUID | str | None = None,
    ) -> list[AgentId] | dict[AgentId, SignalOutcome | None]:
        """Stop what streams in a session now, in whichever worker; the session lives on.

        A stream that is registered after this is never hit. On return this worker's streams are
        stopped, or overdue; those of others have their signals, and their workers are woken.

        Args:
            agents: only these; left out, all.
            actor: who asks, for the audit trail; at most 2,000 characters.
            reason: why, likewise.
            wait: return only when all signals are settled, or after so many seconds.
            owner: stop only what is of this owner's sessions; None: of anybody's.
            request_id: a name for the request, such as `uuid.uuid4()`, so that it can be repeated:
                what was done under it is not done again, but told again, as far as the trail
                tells. It is kept for as long as the trail is.

        Raises:
            RequestReusedError: this name was given to another request. Nothing was written.
            RequestUnderWayError: the request is being carried out. Nothing was written.

        Returns:
            The agents that were streaming and are signalled, in key order; with `wait` each with
            what became of its signal: delivered, failed, lost, or None when that is still open.
        """
        request = await self.request_interrupt(
            session_id,
            agents,
            actor=actor,
            reason=reason,
            wait=wait,
            owner=owner,
            request_id=request_id,
        )
        if wait is None:
            return request.agents if request else []
        return request.outcomes or {} if request else {}

    async def request_interrupt(
        self,
        session_id: str,
        agents: Collection[AgentIdLike] | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
        owner: str | None = None,
        request_id: UUID | str | None = None,
    ) -> StopRequest | None:
        """Do what `interrupt_streaming_agents` does, and tell all of it.

        Returns:
            What was stopped, with `wait` its outcomes; None when the session does not live.
        """
        named = None if agents is None else {AgentId.of(agent) for agent in agents}
        if wait is not None:
            check_positive(wait, "wait")
        asked = Stop.of(
            check_session_id(session_id),
            named,
            self._requester(actor, reason),
            None if request_id is None else as_uuid(request_id, "request_id"),
            check_owner(owner),
        )
        return await self._stop_streams(asked, wait)

    async def _stop_streams(self, asked: Stop, wait: float | None) -> StopRequest | None:
        request = await self.repository.interrupt_streams(
            asked.session_id,
            asked.agents,
            asked.requester,
            owner=asked.owner,
            request_id=asked.request_id if asked.once else None,
        )
        if request is None:
            return None
        if wait is None:
            await self._worker.dispatcher.deliver(request.signals)
            return request
        self._worker.dispatcher.begin(request.signals)
        outcomes = await receipts(self.repository, asked.session_id, request, wait)
        return replace(request, outcomes=outcomes)

    async def interrupt_stream(
        self,
        session_id: str,
        stream_id: UUID | str,
        *,
        actor: str | None = None,
        reason: str | None = None,
        wait: float | None = None,
        owner: str | None = None,
        request_id: UUID | str | None = None,
    ) -> StreamInterrupt:
        """Stop exactly this stream, of whichever worker, even before it begins.

        A stream that is not registered yet is *ahead*: its registration ends at once, if it comes
        within `early_stop_sec`. So a stop that is acknowledged happens, whatever it races with.

        Args:
            actor, reason, request_id: see `interrupt_streaming_agents`.
            wait: return only when the signal is settled, or after so many seconds.
            owner: see `SessionManager.start_session`.

        Returns:
            What was found, and with `wait` what became of the signal.

        Raises:
            SessionOwnedError: the session lives, and is another owner's.
        """
        if wait is not None:
            check_positive(wait, "wait")
        asked = StopStream(
            check_session_id(session_id),
            as_uuid(stream_id, "stream_id"),
            self._requester(actor, reason),
            timedelta(seconds=self._tuning.early_stop_sec),
            check_owner(owner),
            uuid4() if request_id is None else as_uuid(request_id, "request_id"),
            once=request_id is not None,
        )
        return await self._stop_stream(asked, wait)

    async def _stop_stream(self, asked: StopStream, wait: float | None) -> StreamInterrupt:
        interrupt = await self.repository.interrupt_stream(asked)
        if wait is None:
            await self._worker.dispatcher.deliver(interrupt.signals)
            return interrupt
        self._worker.dispatcher.begin(interrupt.signals)
        if interrupt.found is not Found.LIVE:
            return interrupt
        settled = await settlements(
            self.repository, asked.session_id, interrupt.request_id, [asked.stream_id], wait
        )
        return replace(interrupt, outcome=settled.get(asked.stream_id))

    async def interrupt_all(
        self,
        *,
        agent_type: str | None = None,
        worker_id: UUID | str | None = None,
        older_than: timedelta | None = None,
        owner: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        progress: Callable[[BulkInterrupt], None] | None = None,
        request_id: UUID | str | None = None,
    ) -> BulkInterrupt:
        """Stop the streams of all sessions, or those that match; the sessions live on.

        Session by session, in the order of their ids, in batches that commit by themselves: a
        stream that is registered after its session's turn is not hit. Returns when all are told
        to stop; `receipts` tells what became of that.

        Args:
            agent_type: only streams of agents of this type.
            worker_id: only streams in this worker.
            older_than: only streams that began longer ago than this.
            owner: only streams in this owner's sessions.
            actor, reason: see `interrupt_streaming_agents`.
            dry_run: count what matches now, and stop nothing.
            progress: called after each batch with what has been done so far.
            request_id: see `interrupt_streaming_agents`. One that was left halfway, as by a crash,
                is gone through from the beginning by a repetition half a minute later; so what
                has begun to stream meanwhile is stopped, too.

        Raises:
            RequestReusedError: this name was given to another request. Nothing was written.
            RequestUnderWayError: the request is being carried out. Nothing was written.

        Returns:
            How many streams were told to stop, and under which `request_id`.
        """
        if older_than is not None:
            check_positive(older_than.total_seconds(), "older_than")
        matching = StreamFilter(
            None if agent_type is None else check_agent_type(agent_type),
            None if worker_id is None else as_uuid(worker_id, "worker_id"),
            older_than,
            check_owner(owner),
        )
        asked = BulkStop(
            matching,
            self._requester(actor, reason),
            dry_run,
            None if request_id is None else as_uuid(request_id, "request_id"),
        )
        return await self._stop_matching(asked, progress or (lambda done: None))

    async def _stop_matching(
        self, asked: BulkStop, progress: Callable[[BulkInterrupt], None]
    ) -> BulkInterrupt:
        matching, requester, named = asked.matching, asked.requester, asked.request_id
        if asked.dry_run:
            matched = await self.repository.count_streams(matching)
            return BulkInterrupt(uuid4(), matched.sessions, matched.streams)
        if named is None:
            return await self._interrupt_matching(matching, requester, uuid4(), progress)
        fingerprint = fingerprint_of(
            "stop all", matching.columns, requester.actor, requester.reason
        )
        if await self.repository.begin_request(named, fingerprint):
            await self._interrupt_matching(matching, requester, named, progress, once=True)
        did = await self.repository.count_interrupted(named, owner=matching.owner)
        return BulkInterrupt(named, did.sessions, did.streams)

    async def _interrupt_matching(
        self,
        matching: StreamFilter,
        requester: Requester,
        request_id: UUID,
        progress: Callable[[BulkInterrupt], None],
        *,
        once: bool = False,
    ) -> BulkInterrupt:
        """Batch by batch; with `once` each tells that the request goes on."""
        done, position = BulkInterrupt(request_id), None
        while True:
            batch = await self.repository.interrupt_matching(
                matching, requester, request_id, limit=_BULK_BATCH, after=position
            )
            self._worker.dispatcher.begin(batch.signals)
            done = replace(
                done,
                sessions=done.sessions + batch.sessions,
                streams=done.streams + batch.streams,
            )
            progress(done)
            position = batch.position
            if once:
                await self.repository.advance_request(request_id, is_over=position is None)
            if position is None:
                return done

    async def receipts(
        self, request_id: UUID | str, *, owner: str | None = None
    ) -> Receipts | None:
        """Read what became of the signals of an interrupt so far, of one session or of many.

        Args:
            owner: only of those to streams in this owner's sessions.

        Returns:
            The counts, and those that did not stop their streams; None when the trail has no such
            request, as of one that found nothing to stop.
        """
        named = as_uuid(request_id, "request_id")
        return await self.repository.receipts(named, owner=check_owner(owner))

    def _requester(self, actor: str | None, reason: str | None) -> Requester:
        return self._worker.incarnation.requester(
            check_free_text(actor, "actor"), check_free_text(reason, "reason")
        )
