"""The hot operations on SQLite: what many ask for, in one transaction."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, cast
from uuid import UUID

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.agent_id import AgentId
from session_router.database.schema import Tables
from session_router.errors import InvalidAgentIdError
from session_router.group_commit import Postponed
from session_router.repository.base import Registration
from session_router.repository.sql.hot_requests import Finish, Register, Start, Touch
from session_router.repository.sql.transactions import Transactions
from session_router.session import Session

_NOW: Final = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
_TOUCH: Final = f"""
    UPDATE sessions SET last_updated = max(last_updated, {_NOW})
    WHERE session_id IN (SELECT value FROM json_each(?))
        AND last_updated <= strftime('%Y-%m-%d %H:%M:%f000', 'now', ?)
"""  # noqa: S608 - constants
_READ: Final = """
    SELECT session_id, start_time, last_updated, (
        SELECT json_group_array(agent_type || '/' || agent_key) FROM agent_streams a
        WHERE a.session_id = s.session_id
    )
    FROM sessions s WHERE session_id IN (SELECT value FROM json_each(?))
"""


class HotOnSqlite:
    """Nobody else writes meanwhile, so nobody waits for a row.

    An item that fails rolls back the whole transaction, and each is then tried alone.
    """

    def __init__(self, transactions: Transactions, t: Tables) -> None:
        self._transactions = transactions
        self._t = t

    async def touch(self, asked: Sequence[Touch]) -> list[Session | Postponed | None]:
        async def touch(conn: AsyncConnection) -> list[Session | Postponed | None]:
            found = await _touch(conn, asked)
            return [found[one.session_id]() if one.session_id in found else None for one in asked]

        return await self._transactions.write(touch)

    async def start(self, asked: Sequence[Start]) -> list[Session | Postponed]:
        async def start(conn: AsyncConnection) -> list[Session | Postponed]:
            found = await _touch(conn, asked)
            missing = {one.session_id: one for one in asked if one.session_id not in found}
            made = {i: await one.alone(conn, self._t) for i, one in missing.items()}
            return [
                found[i]() if i in found else made[i].model_copy(deep=True)
                for i in (one.session_id for one in asked)
            ]

        return await self._transactions.write(start)

    async def register(self, asked: Sequence[Register]) -> list[Registration]:
        async def register(conn: AsyncConnection) -> list[Registration]:
            return [await one.alone(conn, self._t) for one in asked]

        return await self._transactions.write(register)

    async def finish(self, asked: Sequence[Finish]) -> list[UUID | None]:
        async def finish(conn: AsyncConnection) -> list[UUID | None]:
            return [await one.alone(conn, self._t) for one in asked]

        return await self._transactions.write(finish)


async def _touch(
    conn: AsyncConnection, asked: Sequence[Touch] | Sequence[Start]
) -> dict[str, Callable[[], Session | Postponed]]:
    """Touch those sessions that live and read them; each value makes a snapshot of its own.

    Where none is idle for the resolution, nothing is written, and so nothing has to reach the disk.
    The driver does each statement in one step, for which SQLAlchemy takes four.
    """
    ids = json.dumps(list({one.session_id for one in asked}))
    resolution = min(one.resolution for one in asked).total_seconds()
    driver = cast("aiosqlite.Connection", (await conn.get_raw_connection()).driver_connection)
    await driver.execute_fetchall(_TOUCH, (ids, f"-{resolution:.3f} seconds"))
    found = await driver.execute_fetchall(_READ, (ids,))
    return {row[0]: partial(_session_of, row) for row in found}


def _session_of(row: Sequence[str]) -> Session | Postponed:
    """The database's values need no validation."""
    session_id, start_time, last_updated, streaming = row
    try:
        agents = {AgentId.from_str(agent) for agent in json.loads(streaming)}
    except InvalidAgentIdError:  # inserted by hand: no fault of those beside it
        return Postponed.ALONE
    return Session.model_construct(
        session_id=session_id,
        start_time=datetime.fromisoformat(f"{start_time}Z"),
        last_updated=datetime.fromisoformat(f"{last_updated}Z"),
        agents_streaming=agents,
    )
