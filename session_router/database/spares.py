"""Connections that are kept for a moment after their use, since more work mostly follows at once.

To take a connection from SQLAlchemy's pool and to return it costs 100 µs of processor time, more
than the driver needs for a whole small statement. Where calls follow each other, they use the same
connection again. The pool's other users get their turn: a spare goes back to the pool when it was
not used for 5 ms, and after 100 ms however busy it is.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from sqlalchemy.pool import PoolProxiedConnection

from session_router.database.pool import Pool, driver_of

_IDLE_SEC: Final = 0.005
_TURN_SEC: Final = 0.1


@dataclass(slots=True)
class Spare:
    """A connection that is in use, or kept for the next.

    Attributes:
        held: what the pool gave.
        due: when its turn is over, by the event loop's clock.
        idle_since: since when it waits for the next use.
    """

    held: PoolProxiedConnection
    due: float
    idle_since: float = 0.0


class Spares:
    """Takes connections from a pool, and returns them when nobody needs them any more."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._idle: list[Spare] = []
        self._timer: asyncio.TimerHandle | None = None
        self._returns: set[asyncio.Task[None]] = set()

    async def again(self) -> Spare | None:
        """One that was used just now; None where there is none of use."""
        while self._idle:
            spare = self._idle.pop()
            if await self._pool.is_usable(spare.held):
                return spare
        return None

    async def take(self) -> Spare:
        """One from the pool. Raises as `Pool.take`."""
        held = await self._pool.take()
        return Spare(held, asyncio.get_running_loop().time() + _TURN_SEC)

    async def give_back(self, spare: Spare, error: BaseException | None = None) -> None:
        """Keep one for the next use, or return it; `error`: what befell its user."""
        loop = asyncio.get_running_loop()
        spare.idle_since = loop.time()
        if error is not None or spare.due <= spare.idle_since:
            await self._pool.give_back(spare.held, error)
            await asyncio.sleep(0)  # who waits for the pool is awake now, and takes it
            return
        self._idle.append(spare)
        if self._timer is None:
            self._timer = loop.call_later(_IDLE_SEC, self._return_unused)

    async def close(self) -> None:
        """Return all that are kept."""
        self._return([*self._idle])
        while self._returns:
            await asyncio.wait(self._returns)

    def abandon(self) -> object:
        """Leave connections to the end of what refers to them, without a word; returns those."""
        spares, self._idle = self._idle, []
        drivers = [driver_of(spare.held) for spare in spares]
        for spare in spares:
            spare.held.detach()
        return drivers

    def _return_unused(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        unused_since = loop.time() - _IDLE_SEC
        self._return([spare for spare in self._idle if spare.idle_since <= unused_since])
        if self._idle:
            self._timer = loop.call_later(_IDLE_SEC, self._return_unused)

    def _return(self, spares: list[Spare]) -> None:
        self._idle = [spare for spare in self._idle if spare not in spares]
        for spare in spares:
            task = asyncio.create_task(self._pool.give_back(spare.held))
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)
