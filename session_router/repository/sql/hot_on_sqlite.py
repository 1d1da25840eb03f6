"""The hot operations on SQLite: what many ask for, in one transaction."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.schema import Tables
from session_router.repository.base import Registration
from session_router.repository.sql import sessions
from session_router.repository.sql.hot_requests import Finish, Register, Start, Touch
from session_router.repository.sql.transactions import Transactions
from session_router.session import Session


class HotOnSqlite:
    """Nobody else writes meanwhile, so nothing is postponed.

    An item that fails rolls back the whole transaction, and each is then tried alone.
    """

    def __init__(self, transactions: Transactions, t: Tables) -> None:
        self._transactions = transactions
        self._t = t

    async def touch(self, asked: Sequence[Touch]) -> list[Session | None]:
        found = await self._fresh(asked)
        idle = {one.session_id for one in asked} - found.keys()
        if idle:
            found |= await self._transactions.write(
                lambda conn: sessions.touch_many(conn, self._t, idle)
            )
        sessions_asked = (found.get(one.session_id) for one in asked)
        return [session and _copy(session) for session in sessions_asked]

    async def start(self, asked: Sequence[Start]) -> list[Session]:
        found = await self._fresh(asked)
        idle = {one.session_id: one for one in asked if one.session_id not in found}

        async def start(conn: AsyncConnection) -> dict[str, Session]:
            started = await sessions.touch_many(conn, self._t, idle)
            for session_id in idle.keys() - started.keys():
                started[session_id] = await idle[session_id].alone(conn, self._t)
            return started

        if idle:
            found |= await self._transactions.write(start)
        return [_copy(found[one.session_id]) for one in asked]

    async def register(self, asked: Sequence[Register]) -> list[Registration]:
        async def register(conn: AsyncConnection) -> list[Registration]:
            return [await one.alone(conn, self._t) for one in asked]

        return await self._transactions.write(register)

    async def finish(self, asked: Sequence[Finish]) -> list[UUID | None]:
        async def finish(conn: AsyncConnection) -> list[UUID | None]:
            return [await one.alone(conn, self._t) for one in asked]

        return await self._transactions.write(finish)

    async def _fresh(self, asked: Sequence[Touch] | Sequence[Start]) -> dict[str, Session]:
        """Those that were touched just now; they are only read, which waits for no writer."""
        resolution = min(one.resolution for one in asked)
        if not resolution:
            return {}
        session_ids = {one.session_id for one in asked}
        return await self._transactions.read(
            lambda conn: sessions.fresh(conn, self._t, session_ids, resolution)
        )


def _copy(session: Session) -> Session:
    """A snapshot of its own for each caller."""
    return session.model_copy(deep=True)
