"""The batched operations on PostgreSQL: one function call, and one commit, for a whole batch."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import asyncpg

from session_router.agent_id import AgentId
from session_router.database.asyncpg_calls import AsyncpgCalls
from session_router.errors import InvalidAgentIdError
from session_router.events import EventName, SignalAction
from session_router.repository.changes import (
    Finish,
    Register,
    Start,
    Stop,
    StopStream,
    StreamFilter,
    Sweep,
    Touch,
    WhenBusy,
)
from session_router.repository.records import NO_WORKER, Signal
from session_router.repository.results import (
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
)
from session_router.repository.sql.batches.group_commit import Retry
from session_router.repository.sql.batches.owners import first_of_each, owners_of
from session_router.repository.sql.batches.stopped import Stopped
from session_router.session import Session, stored


class PostgresqlBatches:
    """Calls the functions of one schema. Each call is a transaction: it needs no BEGIN and COMMIT.

    What a function leaves out is postponed; see `database/definitions/hot_operations_0002.py`.
    """

    def __init__(self, calls: AsyncpgCalls, schema: str) -> None:
        self._calls = calls
        self._schema = schema

    async def touch(self, asked: Sequence[Touch]) -> list[Session | Retry | None]:
        first = first_of_each(asked)
        resolution = min(one.resolution for one in asked)
        found = await self._call(
            "touch_sessions_of", list(first), owners_of(first.values()), resolution
        )
        rows = {row["session_id"]: row for row in found}
        return [
            _session_of(rows.get(one.session_id))
            if one.owner == first[one.session_id].owner
            else Retry.IN_OWN_TRANSACTION
            for one in asked
        ]

    async def start(self, asked: Sequence[Start]) -> list[Session | Retry]:
        first = first_of_each(asked)
        found = await self._call(
            "start_sessions_of",
            list(first),
            owners_of(first.values()),
            [uuid4() for _ in first],
            [one.requester.worker_id for one in first.values()],
            [one.requester.actor for one in first.values()],
            [one.timeout_minutes for one in first.values()],
            min(one.resolution for one in asked),
        )
        rows = {row["session_id"]: row for row in found}
        # Without a row, somebody else was creating the session, or it is another owner's.
        return [
            (one.owner == first[one.session_id].owner and _session_of(rows.get(one.session_id)))
            or Retry.IN_OWN_TRANSACTION
            for one in asked
        ]

    async def register(self, asked: Sequence[Register]) -> list[Registration | Retry]:
        together = _without_rivals(asked)
        found = await self._call(
            "open_streams_of",
            owners_of(together),
            [one.actor for one in together],
            *_agents(together),
            [one.stream_id for one in together],
            [one.worker_id for one in together],
            [uuid4() for _ in together],
            [one.is_named for one in together],
            [one.alone for one in together],
            [one.when_busy is WhenBusy.REFUSE for one in together],
        )
        opened = {row["stream_id"]: row["timeout_minutes"] for row in found}
        return [
            Registration(one.stream_id, timeout_minutes=opened[one.stream_id])
            if one.stream_id in opened
            else Retry.IN_OWN_TRANSACTION
            for one in asked
        ]

    async def finish(self, asked: Sequence[Finish]) -> list[UUID | Retry | None]:
        # Whose the sessions are is looked at under their locks, which this does without.
        ended: list[UUID | Retry | None] = [
            None if one.owner is None else Retry.IN_OWN_TRANSACTION for one in asked
        ]
        places = [place for place, one in enumerate(asked) if one.owner is None]
        anybodys = [asked[place] for place in places]
        found = await self._call(
            "finish_streams",
            *_agents(anybodys),
            [one.stream_id for one in anybodys],
            [one.worker_id for one in anybodys],
            [one.outcome for one in anybodys],
            [one.detail for one in anybodys],
        )
        for row in found:
            place = places[row["number"] - 1]
            ended[place] = row["stream_id"] or Retry.IN_OWN_TRANSACTION
        return ended

    async def interrupt(self, asked: Sequence[Stop]) -> list[StopRequest | Retry | None]:
        found = await self._stop(asked, None)
        return [found.request_of(one) for one in asked]

    async def interrupt_stream(self, asked: Sequence[StopStream]) -> list[StreamInterrupt | Retry]:
        """Each holds the lock of its name alone, and so goes alone."""
        return [Retry.IN_OWN_TRANSACTION for _ in asked]

    async def end(self, asked: Sequence[Stop]) -> list[StopRequest | Retry | None]:
        found = await self._stop(asked, EventName.SESSION_ENDED)
        return [found.request_of(one) for one in asked]

    async def replace(self, asked: Sequence[Start]) -> list[tuple[Session, StopRequest] | Retry]:
        stops = [
            Stop(one.session_id, one.requester, owner=one.owner, once=one.once) for one in asked
        ]
        timeouts = {
            stop.request_id: one.timeout_minutes for stop, one in zip(stops, asked, strict=True)
        }
        found = await self._stop(stops, EventName.SESSION_REPLACED, timeouts)
        return [
            found.next_life_of(stop, one.timeout_minutes)
            for stop, one in zip(stops, asked, strict=True)
        ]

    async def expire(self, asked: Sweep) -> SweepBatch:
        """See `database/definitions/sweep_0002.py`, and `owners_0009.py` beside it."""
        request_id = uuid4()
        function, idle_for = "expire_sessions", asked.idle_for
        if asked.is_of_own:
            function, idle_for = "expire_own_timeouts", asked.grace
        place = (asked.after.moment, asked.after.session_id) if asked.after else (None, None)
        worker_id = asked.requester.worker_id
        found = await self._call(function, idle_for, asked.limit, *place, worker_id, request_id)
        if not found:
            return SweepBatch(0, 0, [], asked.end)
        [row] = found
        return SweepBatch(
            row["sessions"],
            len(row["stream_ids"] or ()),
            _signals_of(row, request_id),
            asked.position(row["sessions"], row["last_updated"], row["last_id"]),
        )

    async def _stop(
        self,
        asked: Sequence[Stop],
        terminal: EventName | None,
        timeouts: Mapping[UUID, float | None] | None = None,
    ) -> Stopped:
        action = SignalAction.CANCEL if terminal is None else SignalAction.CANCEL_AND_REMOVE
        found = Stopped(asked, action)
        stops = list(found.asked.values())
        if not stops:
            return found
        requesters = [stop.requester for stop in stops]
        rows = await self._call(
            "stop_streams_of",
            found.owner,
            None if timeouts is None else [timeouts[stop.request_id] for stop in stops],
            list(found.asked),
            [stop.request_id for stop in stops],
            [requester.worker_id for requester in requesters],
            [requester.actor for requester in requesters],
            [requester.reason for requester in requesters],
            _named_in(stops),
            [uuid4() for _ in stops],
            terminal,
            *_columns_of(found.matching),
        )
        found.take(rows)
        return found

    async def _call(self, function: str, *arguments: object) -> "list[asyncpg.Record]":
        places = ", ".join(f"${number}" for number in range(1, len(arguments) + 1))
        call = f"SELECT * FROM {self._schema}.{function}({places})"  # noqa: S608 - all are ours
        return await self._calls.fetch(call, *arguments)


def _named_in(stops: Sequence[Stop]) -> list[str | None] | None:
    """The agents that each names, as JSON; None where none names any."""
    if all(stop.agents is None for stop in stops):
        return None
    return [None if s.agents is None else json.dumps([*map(str, s.agents)]) for s in stops]


def _columns_of(matching: StreamFilter | None) -> tuple[object, ...]:
    if matching is None:
        return False, None, None, None
    return True, matching.agent_type, matching.worker_id, matching.older_than


def _without_rivals(asked: Sequence[Register]) -> list[Register]:
    """Of a session in which somebody is to be alone, only the first: they would not see another.

    Nor what is on behalf of another owner than the first.
    """
    alone = {one.session_id for one in asked if one.alone}
    first = first_of_each(asked)
    return [
        one
        for one in asked
        if one is first[one.session_id]
        or (one.session_id not in alone and one.owner == first[one.session_id].owner)
    ]


def _agents(asked: Sequence[Register] | Sequence[Finish]) -> tuple[list[str], ...]:
    return (
        [one.session_id for one in asked],
        [one.agent_id.type for one in asked],
        [one.agent_id.key for one in asked],
    )


def _session_of(row: "asyncpg.Record | None") -> Session | Retry | None:
    """A snapshot of its own for each caller."""
    if row is None:
        return None
    if row["is_busy"]:
        return Retry.IN_OWN_TRANSACTION
    try:
        agents = {AgentId.from_str(agent) for agent in row["agents"]}
    except InvalidAgentIdError:  # inserted by hand: no fault of those beside it
        return Retry.IN_OWN_TRANSACTION
    return stored(row, agents)


def _signals_of(row: "asyncpg.Record", request_id: UUID) -> list[Signal]:
    """To the owners of the streams that a sweep's batch stopped; imported ones have none."""
    stopped = zip(
        row["signal_ids"] or (),
        row["workers"] or (),
        row["session_ids"] or (),
        row["session_uids"] or (),
        map(AgentId.stored, row["types"] or (), row["keys"] or ()),
        row["stream_ids"] or (),
        strict=True,
    )
    return [
        Signal(
            signal_id=signal_id,
            worker_id=worker_id,
            request_id=request_id,
            session_id=session_id,
            session_uid=session_uid,
            agent_id=agent_id,
            stream_id=stream_id,
            action=SignalAction.CANCEL_AND_REMOVE,
            requested_at=row["moment"],
        )
        for signal_id, worker_id, session_id, session_uid, agent_id, stream_id in stopped
        if worker_id != NO_WORKER
    ]
