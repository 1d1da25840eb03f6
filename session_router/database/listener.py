"""The doorbell on PostgreSQL: a LISTEN for each worker, all on one connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router import logs
from session_router.database.channel import channel
from session_router.database.connection_names import call
from session_router.database.faults import translated
from session_router.doorbell import WakeUps
from session_router.outages import Outage

_PROBE_SEC: Final = 10.0
_ANSWER_SEC: Final = 5.0
# Outlasts the engine's own limit on connecting, whose error says more; it bounds the wait for the
# pool, too.
_CONNECTION_SEC: Final = 8.0
_RECONNECT_SEC: Final = 0.2
_POOLER_RETRY_SEC: Final = 60.0
_POOLER: Final = (
    "a connection pooler stands before the database; give listen_url "
    "(SESSION_ROUTER_LISTEN_URL) a direct one"
)

_Driver: TypeAlias = "asyncpg.Connection[Any]"


class Listener:
    """Wakes workers whenever their doorbells ring, and whenever that might have been missed.

    Args:
        engine: gives, in the running loop, where its connection comes from; it keeps one.
        worker_ids: gives whose doorbells it hears at the moment.
        ring: called with a worker at each ring, after each LISTEN for it, and when the connection
            is lost.
        name: gives what the connection is to be called.
        outage: of what the engine leads to; it is over for this loop when it listens again.
    """

    def __init__(
        self,
        engine: Callable[[], AsyncEngine],
        worker_ids: Callable[[], Collection[UUID]],
        ring: Callable[[UUID], None],
        name: Callable[[], str],
        outage: Outage,
    ) -> None:
        self.outage = outage
        self._engine = engine
        self._name = name
        self._worker_ids = worker_ids
        self._ring = ring
        self._stirred = asyncio.Event()
        self._heard_for: dict[str, UUID] = {}
        self.wake_ups = WakeUps("polling", "not connected yet")
        self.retry_sec = _RECONNECT_SEC

    async def run_once(self) -> None:
        """Listen for as long as the connection lives.

        Raises:
            DatabaseError: no connection could be had.
        """
        try:
            with translated(nothing_written=True):
                async with self._connection() as conn:
                    await self._listen(conn)
        except Exception as error:
            # Its job tells of an error that is more than a connection lost.
            self._fall_back(logs.explain(error))
            raise
        except asyncio.CancelledError:
            # As the worker wants it: nothing to warn of.
            self.wake_ups = WakeUps("polling", "the listener was stopped")
            raise

    def follow(self) -> None:
        """Listen to others from now on: whom it is for has changed. Each new one is rung for."""
        self._stirred.set()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        async with asyncio.timeout(_CONNECTION_SEC):
            conn = await self._engine().connect()
        try:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            yield conn
        finally:
            # It listens, so it must not go back into a pool.
            await conn.invalidate()
            await conn.close()

    async def _listen(self, conn: AsyncConnection) -> None:
        driver = cast("_Driver", (await conn.get_raw_connection()).driver_connection)
        self._heard_for = {}
        async with asyncio.timeout(_ANSWER_SEC):
            await call(driver, self._name())
            backend = (await conn.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            if backend != driver.get_server_pid():
                self._fall_back(_POOLER, passes=False)
                self.retry_sec = _POOLER_RETRY_SEC
                return
            driver.add_termination_listener(lambda _: self._stirred.set())
        while not driver.is_closed():
            self._stirred.clear()
            await self._bring_in_line(driver)
            self._announce(WakeUps("listening"))
            self.outage.passed()
            if not await self._is_stirred(conn):
                break
        self._fall_back("the connection was lost")

    async def _bring_in_line(self, driver: _Driver) -> None:
        """Listen for those whom it is for, and for no others any more."""
        wanted = {channel(worker_id): worker_id for worker_id in self._worker_ids()}
        for name in self._heard_for.keys() - wanted.keys():
            async with asyncio.timeout(_ANSWER_SEC):
                await driver.remove_listener(name, self._heard)
            del self._heard_for[name]
        for name in wanted.keys() - self._heard_for.keys():
            async with asyncio.timeout(_ANSWER_SEC):
                await driver.add_listener(name, self._heard)
            self._heard_for[name] = wanted[name]
            # What was written before the LISTEN rang for nobody.
            self._ring(wanted[name])

    def _heard(self, _: object, __: int, name: str, ___: object) -> None:
        if (worker_id := self._heard_for.get(name)) is not None:
            self._ring(worker_id)

    async def _is_stirred(self, conn: AsyncConnection) -> bool:
        """Wait for something to do; False where the connection is lost, as a probe found out."""
        while True:
            try:
                async with asyncio.timeout(_PROBE_SEC):
                    await self._stirred.wait()
                return True
            except TimeoutError:
                pass
            try:
                async with asyncio.timeout(_ANSWER_SEC):
                    await conn.exec_driver_sql("SELECT 1")
            except (TimeoutError, SQLAlchemyError, OSError):
                return False

    def _fall_back(self, reason: str, *, passes: bool = True) -> None:
        self.retry_sec = _RECONNECT_SEC
        self._announce(WakeUps("polling", reason), passes=passes)
        for worker_id in self._worker_ids():
            self._ring(worker_id)

    def _announce(self, wake_ups: WakeUps, *, passes: bool = True) -> None:
        if wake_ups != self.wake_ups:
            self.wake_ups = wake_ups
            logs.wake_ups_changed(wake_ups.mode, wake_ups.reason, passes=passes)
