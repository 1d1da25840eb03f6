"""What only the database's owner does, and a client therefore never."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from session_router.errors import UnsupportedError
from session_router.events import SignalOutcome
from session_router.repository.base import SessionRepository
from session_router.repository.records import Signal, WorkerRow
from session_router.repository.results import InterruptBatch, Leftovers, MatchCount, SweepBatch
from session_router.session import Session


class OwnersOnly(SessionRepository):
    """The part of the contract that is for those who have the database."""

    is_cleaned_by_workers = False

    async def save_session(self, session: Session) -> None:
        _refuse("save_session")

    async def expire_sessions(self, idle_for: timedelta, *_: Any, **__: Any) -> SweepBatch:
        _refuse("expire_old_sessions")

    async def clear_early_stops(self, older_than: timedelta, *, limit: int) -> int:
        _refuse("clear_early_stops")

    async def heartbeats(self) -> dict[UUID, datetime]:
        _refuse("heartbeats")

    async def list_workers(self) -> list[WorkerRow]:
        _refuse("list_workers")

    async def find_worker(self, worker_id: UUID) -> WorkerRow | None:
        _refuse("find_worker")

    async def unsettled_signals_of(self, worker_ids: Collection[UUID]) -> dict[UUID, list[Signal]]:
        _refuse("unsettled_signals_of")

    async def reap_workers(self, silent: Mapping[UUID, datetime]) -> Leftovers:
        _refuse("reap_workers")

    async def count_streams(self, *_: Any) -> MatchCount:
        _refuse("count_streams")

    async def interrupt_matching(self, *_: Any, **__: Any) -> InterruptBatch:
        _refuse("interrupt_matching")

    async def begin_request(self, request_id: UUID, fingerprint: str) -> bool:
        _refuse("begin_request")

    async def advance_request(self, request_id: UUID, *, is_over: bool) -> None:
        _refuse("advance_request")

    async def count_interrupted(self, request_id: UUID, *, owner: str | None = None) -> MatchCount:
        _refuse("count_interrupted")

    async def signal_outcomes(self, session_id: str, request_id: UUID) -> dict[UUID, SignalOutcome]:
        _refuse("signal_outcomes")


def check_unsaid(owner: str | None) -> None:
    """Refuse an owner where the service has the key's only.

    Raises:
        UnsupportedError: one is given.
    """
    if owner is not None:
        raise UnsupportedError(
            f"on whose behalf this is done (owner {owner!a}) is not said over HTTP, where a key "
            "tells it: make one by 'session-router keys create NAME --owner OWNER', and leave out "
            "the owner."
        )


def _refuse(operation: str) -> NoReturn:
    raise UnsupportedError(
        f"{operation} is not done over HTTP: the service does what is needed of it; else use the "
        "library where the database is, or 'session-router' there."
    )
