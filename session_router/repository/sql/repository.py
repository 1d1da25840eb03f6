"""SQLAlchemySessionRepository: the contract on PostgreSQL and SQLite."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router.agent_id import AgentId
from session_router.database.connection_names import ConnectionNames
from session_router.database.engine import create_engine, name_of, supported
from session_router.database.listener import Listener
from session_router.database.schema import Tables, build_tables
from session_router.database.transactions import Operation, Transactions
from session_router.doorbell import ToldBy
from session_router.events import SessionEvent, SignalOutcome, StreamOutcome
from session_router.outages import Outage, outage_of
from session_router.per_loop import PerLoop
from session_router.repository.base import SessionRepository
from session_router.repository.changes import (
    EVERY_SESSION,
    Finish,
    Register,
    SessionFilter,
    Start,
    Stop,
    StopStream,
    StreamFilter,
    Sweep,
    SweepPosition,
    Touch,
)
from session_router.repository.measures import EVENTS_AT_ONCE, Load, Stock, Tally
from session_router.repository.records import Requester, Settlement, Signal, StreamRow, WorkerRow
from session_router.repository.results import (
    SIGNALS_READ,
    InterruptBatch,
    Leftovers,
    MatchCount,
    Receipts,
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
    WorkerStreams,
)
from session_router.repository.sql import (
    bulk,
    interrupts,
    requests,
    saving,
    sessions,
    signals,
    stock,
    streams,
    tallies,
    workers,
)
from session_router.repository.sql.access import Access
from session_router.repository.sql.batches.operations import BatchedOperations
from session_router.repository.sql.events import Page
from session_router.schema_name import check_schema
from session_router.session import Session, check_session_id, checked
from session_router.settings import DEFAULT_DEADLINE_SEC, DEFAULT_SCHEMA, check_positive

T = TypeVar("T")

_BATCH: Final = 1_000
"""How many rows one transaction clears of a worker's remains."""


class SQLAlchemySessionRepository(SessionRepository):
    """Sessions, streams, signals and the audit trail in PostgreSQL or SQLite.

    Each operation is one transaction with the locks that it needs; a cancelled caller neither
    cancels its transaction nor leaks the connection.

    Args:
        engine: an async engine on asyncpg or aiosqlite; it stays the caller's to dispose of.
        schema: the PostgreSQL schema that holds the tables; SQLite has none.
        deadline_sec: how long an operation may take, in seconds, above zero.
        listen_url: where to listen for signals, when the engine goes through a pooler that hands
            out connections by the transaction (PgBouncer), on which nobody can listen.

    Raises:
        InvalidSettingError: `deadline_sec` is not above zero, or the schema cannot be called so.
        InvalidDatabaseUrlError: `listen_url` is no URL of PostgreSQL, or the engine is of another
            kind.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        schema: str = DEFAULT_SCHEMA,
        deadline_sec: float = DEFAULT_DEADLINE_SEC,
        listen_url: str | URL | None = None,
    ) -> None:
        check_schema(schema)
        check_positive(deadline_sec, "deadline_sec")
        self._engine = supported(engine)
        self._schema = schema
        self._owns_engine = False
        self._tables: Tables = build_tables(schema if engine.dialect.name != "sqlite" else None)
        self._names = ConnectionNames.had_by(engine)
        self._access = PerLoop(
            lambda: Access(engine, self._tables, deadline_sec, self._names, listen_url),
            Access.abandon,
            "repository",
        )

    @classmethod
    def from_url(
        cls,
        url: str | URL,
        *,
        schema: str = DEFAULT_SCHEMA,
        deadline_sec: float = DEFAULT_DEADLINE_SEC,
        listen_url: str | URL | None = None,
    ) -> Self:
        """Create a repository with an engine of its own, which `close()` disposes of.

        Args:
            url: `postgresql://user:password@host/database` or `sqlite:///path/to/file.db`.

        Raises:
            InvalidDatabaseUrlError: the URL cannot be parsed, or names another database.
        """
        engine = create_engine(url, names=ConnectionNames("pool"))
        repository = cls(engine, schema=schema, deadline_sec=deadline_sec, listen_url=listen_url)
        repository._owns_engine = True
        return repository

    @property
    def engine(self) -> AsyncEngine:
        """The engine in use."""
        return self._engine

    @property
    def schema(self) -> str:
        """The PostgreSQL schema that holds the tables; SQLite has none."""
        return self._schema

    @property
    def tables(self) -> Tables:
        """The tables in use, for statements of one's own; see `read`."""
        return self._tables

    async def read(self, operation: Operation[T]) -> T:
        """Run what only reads, in a transaction, within the deadline of all operations.

        Raises:
            DeadlineExceededError, DatabaseError: as the methods of the contract.
        """
        return await self._transactions.read(operation)

    @property
    def _transactions(self) -> Transactions:
        return self._access.get().transactions

    @property
    def _batched(self) -> BatchedOperations:
        return self._access.get().batched

    @property
    def _reserved(self) -> Transactions:
        return self._access.get().reserved

    async def close(self) -> None:
        await self._access.get().close()
        if self._owns_engine:
            await self._engine.dispose()

    # The published interface

    async def save_session(self, session: Session) -> None:
        snapshot = checked(session)
        await self._transactions.write(
            lambda conn: saving.save(conn, self._tables, snapshot),
            session_id=snapshot.session_id,
        )

    async def get_session(self, session_id: str) -> Session | None:
        check_session_id(session_id)
        return await self.find_session(session_id)

    async def delete_session(self, session_id: str) -> None:
        check_session_id(session_id)
        await self.end_session(session_id, Requester())

    # Reads

    async def find_session(self, session_id: str) -> Session | None:
        return await self._transactions.read(
            lambda conn: sessions.find(conn, self._tables, session_id)
        )

    async def list_sessions(
        self,
        *,
        after: str | None = None,
        limit: int = 100,
        matching: SessionFilter = EVERY_SESSION,
    ) -> list[Session]:
        return await self._transactions.read(
            lambda conn: sessions.page(conn, self._tables, matching, after, limit)
        )

    async def list_streams(self, session_id: str, owner: str | None = None) -> list[StreamRow]:
        return await self._transactions.read(
            lambda conn: streams.listed(conn, self._tables, session_id, owner)
        )

    async def list_events(
        self,
        session_id: str | None = None,
        *,
        after: int = 0,
        limit: int = 100,
        tailing: bool = True,
        owner: str | None = None,
    ) -> list[SessionEvent]:
        asked = Page(session_id, owner, after, limit)
        return await self._access.get().events.page(asked, tailing=tailing)

    async def ping(self) -> None:
        async def ask(conn: AsyncConnection) -> None:
            await conn.execute(text("SELECT 1"))

        await self._transactions.read(ask)

    # Sessions

    async def touch_session(self, asked: Touch) -> Session | None:
        return await self._batched.touch.submit(asked)

    async def start_session(self, asked: Start) -> Session:
        return await self._batched.start.submit(asked)

    async def replace_session(self, asked: Start) -> tuple[Session, StopRequest]:
        return await self._batched.replace.submit(asked)

    async def end_session(
        self, session_id: str, requester: Requester, *, owner: str | None = None
    ) -> StopRequest | None:
        return await self._batched.end.submit(Stop(session_id, requester, owner=owner))

    async def expire_sessions(
        self,
        idle_for: timedelta,
        requester: Requester,
        *,
        grace: timedelta = timedelta(0),
        limit: int,
        after: SweepPosition | None = None,
    ) -> SweepBatch:
        return await self._batched.expire(Sweep(idle_for, grace, requester, limit, after))

    # Streams

    async def register_stream(self, asked: Register) -> Registration:
        return await self._batched.register.submit(asked)

    async def finish_stream(self, asked: Finish) -> UUID | None:
        if asked.is_fenced:
            return await self._transactions.write(
                lambda conn: streams.finish_fenced(conn, self._tables, asked)
            )
        return await self._batched.finish.submit(asked)

    async def stream_outcome(self, session_id: str, stream_id: UUID) -> StreamOutcome | None:
        return await self._transactions.read(
            lambda conn: streams.outcome(conn, self._tables, session_id, stream_id)
        )

    async def interrupt_streams(
        self,
        session_id: str,
        agents: Collection[AgentId] | None,
        requester: Requester,
        *,
        owner: str | None = None,
        request_id: UUID | None = None,
    ) -> StopRequest | None:
        stop = Stop.of(session_id, agents, requester, request_id, owner)
        return await self._batched.interrupt.submit(stop)

    async def count_streams(self, matching: StreamFilter) -> MatchCount:
        return await self._transactions.read(lambda conn: bulk.count(conn, self._tables, matching))

    async def interrupt_matching(
        self,
        matching: StreamFilter,
        requester: Requester,
        request_id: UUID,
        *,
        limit: int,
        after: str | None = None,
    ) -> InterruptBatch:
        ids = await self._transactions.read(
            lambda conn: bulk.sessions_with(conn, self._tables, matching, after, limit)
        )
        stops = [
            Stop(i, requester, matching=matching, request_id=request_id, owner=matching.owner)
            for i in ids
        ]
        requests = await self._batched.interrupt_matching(stops) if stops else []
        return InterruptBatch(
            sessions=sum(bool(request.streams) for request in requests),
            streams=sum(len(request.streams) for request in requests),
            signals=[signal for request in requests for signal in request.signals],
            position=ids[-1] if len(ids) == limit else None,
        )

    async def begin_request(self, request_id: UUID, fingerprint: str) -> bool:
        return await self._transactions.write(
            lambda conn: requests.begin(conn, self._tables, request_id, fingerprint)
        )

    async def advance_request(self, request_id: UUID, *, is_over: bool) -> None:
        await self._transactions.write(
            lambda conn: requests.advance(conn, self._tables, request_id, is_over=is_over)
        )

    async def count_interrupted(self, request_id: UUID, *, owner: str | None = None) -> MatchCount:
        return await self._transactions.read(
            lambda conn: bulk.interrupted(conn, self._tables, request_id, owner)
        )

    async def receipts(self, request_id: UUID, *, owner: str | None = None) -> Receipts | None:
        return await self._transactions.read(
            lambda conn: bulk.receipts(conn, self._tables, request_id, owner)
        )

    async def interrupt_stream(self, asked: StopStream) -> StreamInterrupt:
        return await self._batched.interrupt_stream.submit(asked)

    async def clear_early_stops(self, older_than: timedelta, *, limit: int) -> int:
        return await self._transactions.write(
            lambda conn: interrupts.clear_early_stops(conn, self._tables, older_than, limit)
        )

    # Workers and their signals

    @property
    def outage(self) -> Outage:
        return outage_of(name_of(self._engine))

    def speak_for(self, worker_id: UUID) -> None:
        if worker_id == self._names.worker_id:
            return
        self._names.worker_id = worker_id
        if self._owns_engine:
            self._access.get().replace_connections()

    async def add_worker(
        self,
        worker_id: UUID,
        host: str,
        pid: int,
        key_id: str | None = None,
        version: str | None = None,
    ) -> UUID:
        await self._transactions.write(
            lambda conn: workers.add(conn, self._tables, worker_id, host, pid, key_id, version)
        )
        return worker_id

    async def beat(self, worker_id: UUID) -> datetime | None:
        return await self._access.get().heartbeats.submit(worker_id)

    async def note_wake_ups(self, worker_id: UUID, told_by: ToldBy) -> bool:
        return await self._transactions.write(
            lambda conn: workers.note_wake_ups(conn, self._tables, worker_id, told_by)
        )

    async def heartbeats(self) -> dict[UUID, datetime]:
        # On the reserved connection, since each worker asks this all the time.
        return await self._reserved.read(lambda conn: workers.heartbeats(conn, self._tables))

    async def list_workers(self) -> list[WorkerRow]:
        return await self._transactions.read(lambda conn: workers.listed(conn, self._tables))

    async def find_worker(self, worker_id: UUID) -> WorkerRow | None:
        return await self._transactions.read(
            lambda conn: workers.find(conn, self._tables, worker_id)
        )

    async def streams_of_worker(self, worker_id: UUID) -> WorkerStreams | None:
        return await self._transactions.single(
            lambda conn: workers.streams_of(conn, self._tables, worker_id)
        )

    async def remove_worker(self, worker_id: UUID) -> Leftovers:
        def clear_some(conn: AsyncConnection) -> Awaitable[Leftovers]:
            return workers.clear_stopped(conn, self._tables, worker_id, _BATCH)

        # While the row stands, nobody takes what is left for the remains of a dead worker; once
        # it is gone, no stream can come, and once the streams are gone, no signal.
        before = await self._clear_all(clear_some)
        row = await self._transactions.write(
            lambda conn: workers.delete_row(conn, self._tables, worker_id)
        )
        waited = await self._wait_for(worker_id)
        return before + row + waited + await self._clear_all(clear_some)

    async def reap_workers(self, silent: Mapping[UUID, datetime]) -> Leftovers:
        reaped = Leftovers()
        if silent:
            reaped = await self._transactions.write(
                lambda conn: workers.delete_silent(conn, self._tables, silent)
            )
        lost = await self._transactions.read(lambda conn: workers.list_lost(conn, self._tables))
        if not lost:
            return reaped
        return reaped + await self._clear_all(
            lambda conn: workers.clear_lost(conn, self._tables, lost, _BATCH)
        )

    async def unsettled_signals(self, worker_id: UUID) -> list[Signal]:
        return await self._reserved.read(
            lambda conn: signals.unsettled(conn, self._tables, worker_id, SIGNALS_READ)
        )

    async def unsettled_signals_of(self, worker_ids: Collection[UUID]) -> dict[UUID, list[Signal]]:
        async def read(conn: AsyncConnection) -> dict[UUID, list[Signal]]:
            present = await workers.present(conn, self._tables, worker_ids)
            found = await signals.unsettled_of(conn, self._tables, worker_ids, SIGNALS_READ)
            return {worker_id: found.get(worker_id, []) for worker_id in present}

        return await self._reserved.read(read)

    async def settle_signals(
        self, settlements: Sequence[Settlement], *, worker_id: UUID | None = None
    ) -> int:
        if worker_id is not None:
            return await self._transactions.write(
                lambda conn: signals.settle_own(conn, self._tables, settlements, worker_id)
            )
        return await self._reserved.write(
            lambda conn: signals.settle(conn, self._tables, settlements)
        )

    async def signal_outcomes(self, session_id: str, request_id: UUID) -> dict[UUID, SignalOutcome]:
        return await self._transactions.read(
            lambda conn: signals.outcomes(conn, self._tables, session_id, request_id)
        )

    # What is measured

    async def stock(self, idle_for: timedelta, grace: timedelta, lease: timedelta) -> Stock:
        return await self._transactions.read(
            lambda conn: stock.take(conn, self._tables, idle_for, grace, lease)
        )

    async def tally(self, after: int | None) -> Tally:
        closed = await self._access.get().events.closed(after or 0)
        if after is None or closed <= after:
            return Tally(closed if after is None else after)
        until = min(closed, after + EVENTS_AT_ONCE)
        found = await self._transactions.read(
            lambda conn: tallies.read(conn, self._tables, after, until)
        )
        return replace(found, is_whole=until == closed)

    def load(self) -> Load:
        return self._access.peek().batched.load()

    def doorbell(
        self, worker_ids: Callable[[], Collection[UUID]], ring: Callable[[UUID], None]
    ) -> Listener | None:
        if (engine := self._access.peek().listening) is None:
            return None
        return Listener(
            self._listening_engine,
            worker_ids,
            ring,
            lambda: self._names.of("listen"),
            outage_of(name_of(engine)),
        )

    def _listening_engine(self) -> AsyncEngine:
        engine = self._access.peek().listening
        assert engine is not None
        return engine

    async def _clear_all(
        self, clear_some: Callable[[AsyncConnection], Awaitable[Leftovers]]
    ) -> Leftovers:
        """Clear batch by batch, until nothing is left but what others hold at the moment."""
        total = Leftovers()
        while (leftovers := await self._transactions.write(clear_some)) != Leftovers():
            total += leftovers
        return total

    async def _wait_for(self, worker_id: UUID) -> Leftovers:
        """Clear what was passed over because others held it, each session in its turn."""
        left = await self._transactions.read(
            lambda conn: workers.sessions_of(conn, self._tables, worker_id)
        )
        total = Leftovers()
        for session_id in left:
            clear = partial(workers.clear_session, self._tables, worker_id, session_id)
            total += await self._transactions.write(clear, session_id=session_id)
        return total
