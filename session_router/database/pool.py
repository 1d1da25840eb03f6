"""An engine's pool on PostgreSQL, whose connections are looked at before they are used.

A pool holds connections that may have become useless since: the server has closed them, a
failover has made their server one that only reads, or their host is gone without a word. What
befalls one mostly befalls all, so after such an event the others are replaced, or asked first.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from session_router.database.faults import condemns_connections, translated

if TYPE_CHECKING:
    Driver = asyncpg.Connection[asyncpg.Record]

_KNOWN_GOOD: Final = "session_router_known_good"
_SUSPICIOUS_SEC: Final = 2.0
_ANSWER_SEC: Final = 1.0
_ROLLBACK_SEC: Final = 2.0
_NO_ANSWER: Final = (
    TimeoutError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Pool:
    """Connections of an engine: those that are of no use are replaced when they are taken.

    Args:
        engine: on asyncpg; its pool stays its own.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._flushes = 0
        self._doubts = 0

    def flush(self) -> None:
        """Have every connection that is open now replaced before it is used again."""
        self._flushes += 1

    def flush_after(self, error: BaseException) -> bool:
        """Flush where an error, met on whichever connection, condemns all; returns whether."""
        if is_condemned := condemns_connections(error):
            self.flush()
        return is_condemned

    def doubt(self) -> None:
        """Have every connection that is open now asked for an answer before it is used again."""
        self._doubts += 1

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection in autocommit mode, for the length of the block.

        It goes back to the pool in the state that a failure within has left it in, but for an
        open transaction, which is rolled back; where that cannot be, it is thrown away.

        Raises:
            DatabaseUnavailableError: none is to be had.
        """
        with translated(nothing_written=True):
            conn, held = await self._connected()
        with self.doubted_when_slow():
            try:
                yield conn
            except BaseException as error:
                await to_the_end(self._close_after(conn, held, error))
                raise
            # A pool that has enough of them closes it instead, in the middle of which a deadline
            # would leave it to the garbage collector.
            await to_the_end(conn.close())

    @contextmanager
    def doubted_when_slow(self) -> Iterator[None]:
        """Doubt the others already while an answer is late: whoever comes need not wait, too."""
        late = asyncio.get_running_loop().call_later(_SUSPICIOUS_SEC, self.doubt)
        try:
            yield
        finally:
            late.cancel()

    async def take(self) -> PoolProxiedConnection:
        """A connection without SQLAlchemy's layers; see `give_back`. Raises as `connection`."""
        with translated(nothing_written=True):
            while True:
                held = await self._engine.raw_connection()
                if await self.is_usable(held):
                    return held

    async def is_usable(self, held: PoolProxiedConnection) -> bool:
        """Whether what `take` gave may be used again; if not, it is thrown away."""
        try:
            if await self._is_good(held):
                return True
        except BaseException:
            held.invalidate()
            raise
        held.invalidate()
        return False

    async def give_back(
        self, held: PoolProxiedConnection, error: BaseException | None = None
    ) -> None:
        """Return what `take` gave, or throw it away; `error`: what befell its user."""
        if not await self._survives(held, error):
            # In a greenlet it is closed in the way that has the server cancel the query, which
            # else would hold its locks on.
            await greenlet_spawn(held.invalidate)
            return
        # In a greenlet, since a pool that has enough of them closes it instead.
        await greenlet_spawn(held.close)

    async def _connected(self) -> tuple[AsyncConnection, PoolProxiedConnection]:
        while True:
            conn = await self._engine.connect()
            try:
                held = await conn.get_raw_connection()
                if await self._is_good(held):
                    return conn, held
            except BaseException:
                await to_the_end(_discarded(conn))
                raise
            await _discarded(conn)

    async def _is_good(self, held: PoolProxiedConnection) -> bool:
        """Whether a connection may be used; one that may not is closed already."""
        driver, known = driver_of(held), held.info.get(_KNOWN_GOOD)
        present = (self._flushes, self._doubts)
        is_good = not driver.is_closed()
        if is_good and known is not None and known != present:
            is_good = known[0] == self._flushes and await self._answers(held)
        if is_good:
            held.info[_KNOWN_GOOD] = present
        else:
            _cut(driver)
        return is_good

    async def _answers(self, held: PoolProxiedConnection) -> bool:
        """Ask for an answer; where none comes, the others need not be asked."""
        driver = driver_of(held)
        try:
            async with asyncio.timeout(_ANSWER_SEC):
                await driver.execute("SELECT 1")
        except _NO_ANSWER:
            self.flush()
            return False
        except BaseException:
            _cut(driver)
            raise
        return True

    async def _close_after(
        self, conn: AsyncConnection, held: PoolProxiedConnection, error: BaseException
    ) -> None:
        if await self._survives(held, error):
            await conn.close()
        else:
            await _discarded(conn)

    async def _survives(self, held: PoolProxiedConnection, error: BaseException | None) -> bool:
        """Whether a connection is of use after an error, with no transaction open."""
        if error is not None and self.flush_after(error):
            return False
        if isinstance(error, asyncio.CancelledError | TimeoutError):
            return False  # in the middle of a query it is of no use to anybody
        # SQLAlchemy may have thrown it away by itself.
        if not held.is_valid or (driver := driver_of(held)).is_closed():
            return False
        return not driver.is_in_transaction() or await _rolled_back(driver)


def apart_from_pool(engine: AsyncEngine) -> AsyncEngine:
    """An engine that connects in the same way, on connections that are not of the pool.

    However many callers wait for the pool, those that keep a worker alive and stoppable do not.
    """
    sync = engine.sync_engine
    return AsyncEngine(Engine(sync.pool.recreate(), sync.dialect, sync.url))


def driver_of(held: PoolProxiedConnection) -> "Driver":
    """asyncpg's own connection."""
    return cast("Driver", held.driver_connection)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, also when cancelled meanwhile; the cancellation is then raised."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


async def _discarded(conn: AsyncConnection) -> None:
    await conn.invalidate()
    await conn.close()


async def _rolled_back(driver: "Driver") -> bool:
    try:
        async with asyncio.timeout(_ROLLBACK_SEC):
            await driver.execute("ROLLBACK")
    except _NO_ANSWER:
        return False
    return not driver.is_closed()


def _cut(driver: "Driver") -> None:
    """Close a connection at once: one that is silent would keep a polite goodbye waiting."""
    with suppress(*_NO_ANSWER):
        driver.terminate()
