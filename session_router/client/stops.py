"""What a client does to sessions, and what it stops."""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

import httpx
from pydantic import TypeAdapter

from session_router.agent_id import AgentId
from session_router.client.answers import read
from session_router.client.mirror import Mirror
from session_router.client.owners import check_unsaid
from session_router.client.reads import SESSION, STREAMS, Reads
from session_router.client.service import path_of
from session_router.events import SignalOutcome
from session_router.per_loop import PerLoop
from session_router.repository.changes import BulkStop, Start, StopStream, Touch
from session_router.repository.records import Requester, Signal, StreamRow
from session_router.repository.results import (
    BulkInterrupt,
    Found,
    StopRequest,
    StreamInterrupt,
)
from session_router.session import Session, check_session_id

_ARRIVAL_SEC: Final = 2.0
_BULK_SEC: Final = 300.0
"""How much longer than another operation the interrupt of many sessions may take."""
_OUTCOMES: Final = TypeAdapter(dict[str, SignalOutcome | None] | None)
_STREAM: Final = TypeAdapter(StreamInterrupt)
_BULK: Final = TypeAdapter(BulkInterrupt)


class Stops(Reads):
    """The changes of sessions, and their interrupts; all need a key with the scope `operate`.

    What stops streams of this very client returns with their signals, as they came, so that
    the caller finds them stopped. One that has not come by then is carried out when it comes.
    """

    _mirrors: PerLoop[Mirror]

    @property
    def _mirror(self) -> Mirror:
        return self._mirrors.get()

    async def touch_session(self, asked: Touch) -> Session | None:
        """A key with the scope `agent` is enough."""
        check_unsaid(asked.owner)
        path = path_of("sessions", asked.session_id, "touch")
        answer = await self._service.ask("POST", path, missing="session-not-found", repeatable=True)
        return None if answer is None else read(SESSION, answer)

    async def start_session(self, asked: Start) -> Session:
        path = path_of("sessions", asked.session_id)
        body = _terms(asked)
        return read(SESSION, await self._service.must("PUT", path, body=body, repeatable=True))

    async def replace_session(self, asked: Start) -> tuple[Session, StopRequest]:
        own = self._mirror.streaming(asked.session_id)
        body = {"session_id": asked.session_id, **_terms(asked)}
        answer = await self._service.must(
            "POST", "/sessions", body=body, request_id=asked.request_id
        )
        session = read(SESSION, answer)
        return session, StopRequest(_UNTOLD, signals=await self._arrived(own))

    async def delete_session(self, session_id: str) -> None:
        await self.end_session(check_session_id(session_id), Requester())

    async def end_session(
        self, session_id: str, requester: Requester, *, owner: str | None = None
    ) -> StopRequest | None:
        check_unsaid(owner)
        own = self._mirror.streaming(session_id)
        answer = await self._service.ask(
            "DELETE",
            path_of("sessions", session_id),
            query=_asking(requester),
            missing="session-not-found",
        )
        if answer is None:
            return None
        return StopRequest(_UNTOLD, signals=await self._arrived(own))

    async def interrupt_streams(
        self,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        *,
        owner: str | None = None,
        request_id: UUID | None = None,
        wait: float | None = None,
    ) -> StopRequest | None:
        """Stop a session's streams; with `wait` the outcomes are told.

        Args:
            wait: let the service wait for the receipts, so many seconds at the most.
        """
        check_unsaid(owner)
        body = {**_asking(requester), **_waiting(wait)}
        if agents is not None:
            body["agents"] = sorted(map(str, agents))
        answer = await self._service.ask(
            "POST",
            path_of("sessions", session_id, "interrupt"),
            body=body,
            missing="session-not-found",
            wait_sec=wait or 0.0,
            request_id=request_id,
        )
        if answer is None:
            return None
        streams: list[StreamRow] = read(STREAMS, answer, "streams")
        if wait is not None:
            return StopRequest(_request_id(answer), streams, outcomes=_outcomes(answer))
        signals = await self._arrived({stream.stream_id for stream in streams})
        return StopRequest(_request_id(answer), streams, signals)

    async def interrupt_stream(
        self, asked: StopStream, *, wait: float | None = None
    ) -> StreamInterrupt:
        """Stop exactly one stream; with `wait`, as above, its outcome is told."""
        check_unsaid(asked.owner)
        path = path_of("sessions", asked.session_id, "streams", asked.stream_id, "interrupt")
        body = {**_asking(asked.requester), **_waiting(wait)}
        answer = await self._service.must(
            "POST",
            path,
            body=body,
            wait_sec=wait or 0.0,
            request_id=asked.request_id if asked.once else None,
        )
        did = read(_STREAM, answer)
        if wait is None and did.found is Found.LIVE:
            did.signals.extend(await self._arrived({asked.stream_id}))
        return did

    async def interrupt_all(self, asked: BulkStop) -> BulkInterrupt:
        """Stop the streams of all sessions that are meant, or count them only."""
        matching = asked.matching
        given: dict[str, Any] = {
            "owner": matching.owner,
            "agent_type": matching.agent_type,
            "worker_id": matching.worker_id and str(matching.worker_id),
            "older_than": matching.older_than and matching.older_than.total_seconds(),
        }
        body = {**_asking(asked.requester), **_given(given), "dry_run": asked.dry_run}
        answer = await self._service.must(
            "POST", "/interrupts", body=body, wait_sec=_BULK_SEC, request_id=asked.request_id
        )
        return read(_BULK, answer)

    async def _arrived(self, stopped: Collection[UUID]) -> list[Signal]:
        """The signals to those of these streams that are this client's."""
        return await self._mirror.arrived(stopped, _ARRIVAL_SEC)


_UNTOLD: Final = UUID(int=0)
"""The service names the request in the trail only."""


def _terms(asked: Start) -> dict[str, Any]:
    return _given({"owner": asked.owner, "timeout_minutes": asked.timeout_minutes})


def _asking(requester: Requester) -> dict[str, Any]:
    return _given({"actor": requester.actor, "reason": requester.reason})


def _waiting(wait: float | None) -> dict[str, Any]:
    return _given({"wait": wait})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _request_id(answer: httpx.Response) -> UUID:
    return UUID(answer.headers["location"].rpartition("/")[2])


def _outcomes(answer: httpx.Response) -> dict[AgentId, SignalOutcome | None]:
    told = read(_OUTCOMES, answer, "outcomes") or {}
    return {AgentId.from_str(agent): outcome for agent, outcome in told.items()}
