"""What is read of one database, each time as it is at that moment."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.events import SessionEvent
from session_router.manager import SessionManager
from session_router.repository import SQLAlchemySessionRepository
from session_router.repository.sql import rows
from session_router.watch import queries
from session_router.watch.records import (
    Deliveries,
    LostWorker,
    Overview,
    Place,
    StopLine,
    StreamLine,
    StreamPage,
    Wanted,
    WorkerLine,
)

_DAY: Final = timedelta(days=1)


class Watch:
    """Reads for the console, and for `session-router top`.

    Args:
        manager: whose timeouts decide what is expired, and which worker is lost.
        repository: its repository.
    """

    def __init__(self, manager: SessionManager, repository: SQLAlchemySessionRepository) -> None:
        self._repository = repository
        self._t = repository.tables
        self._idle_for = manager.session_timeout
        self._grace = timedelta(seconds=manager.tuning.touch_resolution_sec)
        self._lease = timedelta(seconds=manager.tuning.lease_sec)

    async def overview(self, owner: str | None) -> Overview:
        """Count what there is, of that owner's if one is given."""

        async def read(conn: AsyncConnection) -> Overview:
            now = await rows.now(conn)
            counts = queries.overview(self._t, owner, now, self._idle_for, self._grace)
            return Overview(read_at=now, **(await conn.execute(counts)).one()._mapping)

        return await self._repository.read(read)

    async def streams(self, wanted: Wanted, after: Place | None, limit: int) -> StreamPage:
        """A page of live streams, the oldest first, and among them those just told to stop.

        Args:
            wanted: which ones.
            after: behind which stream the page begins; None: the first page.
            limit: how many live ones it has at the most.
        """

        async def read(conn: AsyncConnection) -> StreamPage:
            now = await rows.now(conn)
            page = queries.streams(self._t, wanted, now, after, limit)
            live = rows.readable(await conn.execute(page), _live)
            lines, others = live[:limit], live[limit:]
            behind = lines[-1].place if others else None
            for told in (queries.unsettled(self._t, wanted), queries.settled(self._t, wanted, now)):
                found = rows.readable(await conn.execute(told), _stopped)
                lines += [line for line in found if line is not None]
            # A signal that was settled between the two statements is in both.
            latest = {line.stream_id: line for line in lines}
            return StreamPage(now, sorted(latest.values(), key=_order), behind)

        return await self._repository.read(read)

    async def workers(self) -> list[WorkerLine]:
        """The workers, the oldest first, `queries.WORKERS` at the most."""

        async def read(conn: AsyncConnection) -> list[WorkerLine]:
            now = await rows.now(conn)
            found = await conn.execute(queries.workers(self._t))
            return rows.readable(found, lambda row: _worker(row, now, self._lease))

        return await self._repository.read(read)

    async def deliveries(self) -> Deliveries:
        """Count what hooks are owed."""

        async def read(conn: AsyncConnection) -> Deliveries:
            counts = await conn.execute(queries.deliveries(self._t))
            return Deliveries(**counts.one()._mapping)

        return await self._repository.read(read)

    async def lost_workers(self) -> list[LostWorker]:
        """The workers that were lost within the last day, the last one first."""

        async def read(conn: AsyncConnection) -> list[LostWorker]:
            statement = queries.lost_workers(self._t, await rows.now(conn) - _DAY)
            return rows.readable(
                await conn.execute(statement), lambda row: LostWorker(**row._mapping)
            )

        return await self._repository.read(read)

    async def story(
        self, session_id: str, owner: str | None, before: int | None
    ) -> tuple[list[SessionEvent], bool]:
        """The newest events of a session id, or those before one, in their order.

        Returns:
            The events, and whether others precede them.
        """

        async def read(conn: AsyncConnection) -> tuple[list[SessionEvent], bool]:
            statement = queries.story(self._t, session_id, owner, before)
            found = rows.readable(
                await conn.execute(statement), lambda row: SessionEvent(**row._mapping)
            )
            return found[queries.EVENTS - 1 :: -1], len(found) > queries.EVENTS

        return await self._repository.read(read)


def _live(row: Row[Any]) -> StreamLine:
    agent_id = AgentId.stored(row.agent_type, row.agent_key)
    return StreamLine(
        *(row.session_id, agent_id, row.stream_id, row.worker_id),
        *(row.started_at, row.owner, row.touched_at),
    )


def _stopped(row: Row[Any]) -> StreamLine | None:
    """None where nobody asked for it, as where an agent has begun another stream."""
    if row.asked_at is None or row.began_at is None:
        return None
    agent_id = AgentId.stored(row.agent_type, row.agent_key)
    return StreamLine(
        row.session_id,
        agent_id,
        row.stream_id,
        row.worker_id,
        row.began_at,
        stop=StopLine(
            row.requested_at, row.settled_at, row.outcome, row.detail, row.actor, row.reason
        ),
    )


def _order(line: StreamLine) -> tuple[Any, Any]:
    return line.started_at, line.stream_id


def _worker(row: Row[Any], now: datetime, lease: timedelta) -> WorkerLine:
    age = now - row.heartbeat_at
    return WorkerLine(
        row.worker_id,
        row.host,
        row.pid,
        row.started_at,
        heartbeat_age=max(age, timedelta(0)),
        lease_left=max(lease - age, timedelta(0)),
        streams=row.streams,
        wake_ups=row.wake_ups,
        version=row.version,
    )
