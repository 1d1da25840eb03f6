"""The batched operations on SQLite: what many ask for, in one transaction."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.connections import PooledConnections
from session_router.database.schema import Tables
from session_router.database.transactions import Transactions
from session_router.repository.changes import (
    Finish,
    Register,
    Start,
    Stop,
    StopStream,
    Sweep,
    Touch,
)
from session_router.repository.results import (
    Registration,
    StopRequest,
    StreamInterrupt,
    SweepBatch,
)
from session_router.repository.sql import endings, interrupts, sessions, streams
from session_router.repository.sql.batches.group_commit import Retry
from session_router.repository.sql.batches.owners import first_of_each
from session_router.session import SESSION_COLUMNS, Session, stored

Asked = TypeVar("Asked")
Result = TypeVar("Result")

_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_TIMES: Final = ("start_time", "last_updated")
_SNAPSHOT: Final = f"""
    {", ".join(SESSION_COLUMNS)}, (
        SELECT json_group_array(agent_type || '/' || agent_key) FROM agent_streams a
        WHERE a.session_id = sessions.session_id
    )
"""  # noqa: S608 - constants
# Of the sessions that are asked for on behalf of an owner, by their ids: that owner.
_IS_MEANT: Final = """
    coalesce((SELECT value IS owner FROM json_each(?) WHERE json_each.key = session_id), true)
"""
# Within a transaction that goes on, SQLite copies each page that a statement changes, to be able to
# undo that statement alone. A statement that is a transaction of its own takes half the time.
# Since it begins with WITH, Python's sqlite3 does not begin one around it.
_TOUCH: Final = f"""
    WITH asked (session_id) AS (SELECT value FROM json_each(?))
    UPDATE sessions SET last_updated = max(last_updated, {_NOW})
    WHERE session_id IN asked AND {_IS_MEANT}
        AND last_updated <= strftime('%Y-%m-%d %H:%M:%f000', 'now', ?)
    RETURNING {_SNAPSHOT}
"""  # noqa: S608 - constants
_READ: Final = f"""
    SELECT {_SNAPSHOT} FROM sessions
    WHERE session_id IN (SELECT value FROM json_each(?)) AND {_IS_MEANT}
"""  # noqa: S608 - constants


class SqliteBatches:
    """Each batch at its turn to write: nobody else does meanwhile, so nobody waits for a row.

    An item that is refused rolls back what its batch wrote, and each is then tried alone.
    """

    def __init__(
        self, transactions: Transactions, connections: PooledConnections, t: Tables
    ) -> None:
        self._transactions = transactions
        self._connections = connections
        self._t = t

    async def touch(self, asked: Sequence[Touch]) -> list[Session | Retry | None]:
        first = first_of_each(asked)
        found = await self._touched(first, min(one.resolution for one in asked))
        return [
            Retry.IN_OWN_TRANSACTION
            if one.owner != first[one.session_id].owner
            else found[one.session_id]()
            if one.session_id in found
            else None
            for one in asked
        ]

    async def start(self, asked: Sequence[Start]) -> list[Session | Retry]:
        first = first_of_each(asked)
        found = await self._touched(first, min(one.resolution for one in asked))
        missing = {i: one for i, one in first.items() if i not in found}

        async def start(conn: AsyncConnection) -> dict[str, Session]:
            return {
                i: await sessions.start_and_read(conn, self._t, one) for i, one in missing.items()
            }

        made = await self._transactions.write(start) if missing else {}
        return [
            Retry.IN_OWN_TRANSACTION
            if one.owner != first[one.session_id].owner
            else found[one.session_id]()
            if one.session_id in found
            else made[one.session_id].model_copy(deep=True)
            for one in asked
        ]

    async def register(self, asked: Sequence[Register]) -> list[Registration]:
        return await self._each(streams.register, asked)

    async def finish(self, asked: Sequence[Finish]) -> list[UUID | None]:
        return await self._each(streams.finish, asked)

    async def interrupt(self, asked: Sequence[Stop]) -> list[StopRequest | None]:
        return await self._each(interrupts.interrupt, asked)

    async def interrupt_stream(self, asked: Sequence[StopStream]) -> list[StreamInterrupt]:
        return await self._each(interrupts.interrupt_stream, asked)

    async def end(self, asked: Sequence[Stop]) -> list[StopRequest | None]:
        return await self._each(endings.end, asked)

    async def replace(self, asked: Sequence[Start]) -> list[tuple[Session, StopRequest]]:
        return await self._each(endings.replace, asked)

    async def expire(self, asked: Sweep) -> SweepBatch:
        return await self._transactions.write(lambda conn: endings.expire(conn, self._t, asked))

    async def _each(
        self,
        carry_out: Callable[[AsyncConnection, Tables, Asked], Awaitable[Result]],
        asked: Sequence[Asked],
    ) -> list[Result]:
        async def in_turn(conn: AsyncConnection) -> list[Result]:
            return [await carry_out(conn, self._t, one) for one in asked]

        return await self._transactions.write(in_turn)

    async def _touched(
        self, asked: Mapping[str, Touch] | Mapping[str, Start], resolution: timedelta
    ) -> dict[str, Callable[[], Session | Retry]]:
        """Touch those sessions that live and read them; each value makes a snapshot of its own.

        Where none is idle for the resolution, nothing is written, and nothing has to reach the
        disk.
        """
        owners = {i: one.owner for i, one in asked.items() if one.owner is not None}
        idle_for = f"-{resolution.total_seconds():.3f} seconds"

        async def touch(driver: aiosqlite.Connection) -> Sequence[Any]:
            given = json.dumps([*asked]), json.dumps(owners)
            touched = list(await driver.execute_fetchall(_TOUCH, (*given, idle_for)))
            if rest := asked.keys() - {row[0] for row in touched}:
                given = json.dumps([*rest]), json.dumps(owners)
                touched += await driver.execute_fetchall(_READ, given)
            return touched

        rows = await self._transactions.run(touch, self._connections.sqlite_driver)
        return {row[0]: partial(_session_of, row) for row in rows}


def _session_of(row: Sequence[Any]) -> Session | Retry:
    *values, streaming = row
    columns = dict(zip(SESSION_COLUMNS, values, strict=True))
    try:
        agents = {AgentId.from_str(agent) for agent in json.loads(streaming)}
        for time in _TIMES:
            columns[time] = datetime.fromisoformat(f"{columns[time]}Z")
    except ValueError:  # inserted by hand: no fault of those beside it
        return Retry.IN_OWN_TRANSACTION
    return stored(columns, agents)
