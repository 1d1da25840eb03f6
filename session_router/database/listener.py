"""The doorbell on PostgreSQL: a LISTEN on a connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router import logs
from session_router.database.channel import APPLICATION_NAME, channel
from session_router.database.faults import translated
from session_router.doorbell import WakeUps

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


class Listener:
    """Wakes a worker whenever its doorbell rings, and whenever it might have missed it.

    Args:
        engine: gives, in the running loop, where its connection comes from; it keeps one.
        worker_id: gives whose doorbell it is at the moment.
        wake: called at each ring, after each LISTEN, and when the connection is lost.
    """

    def __init__(
        self,
        engine: Callable[[], AsyncEngine],
        worker_id: Callable[[], UUID],
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._wake = wake
        self._stirred = asyncio.Event()
        self.wake_ups = WakeUps("polling", "not connected yet")
        self.retry_sec = _RECONNECT_SEC

    async def run_once(self) -> None:
        """Listen for as long as the connection lives and the worker stays the same.

        Raises:
            DatabaseError: no connection could be had.
        """
        try:
            with translated():
                async with self._connection() as conn:
                    await self._listen(conn)
        except Exception as error:
            self._fall_back(logs.explain(error))
            raise
        except asyncio.CancelledError:
            # As the worker wants it: nothing to warn of.
            self.wake_ups = WakeUps("polling", "the listener was stopped")
            raise

    def follow_worker(self) -> None:
        """Listen anew, and look at once: the worker has become another incarnation."""
        self._stirred.set()
        self._wake()

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
        driver = cast(
            "asyncpg.Connection[Any]", (await conn.get_raw_connection()).driver_connection
        )
        self._stirred.clear()
        async with asyncio.timeout(_ANSWER_SEC):
            await conn.exec_driver_sql(f"SET application_name = '{APPLICATION_NAME}'")
            backend = (await conn.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            if backend != driver.get_server_pid():
                self._fall_back(_POOLER)
                self.retry_sec = _POOLER_RETRY_SEC
                return
            driver.add_termination_listener(lambda _: self._stirred.set())
            await driver.add_listener(channel(self._worker_id()), lambda *_: self._wake())
        self._announce(WakeUps("listening"))
        # What was written before the LISTEN rang for nobody.
        self._wake()
        await self._probe(conn)
        self._fall_back("the connection was lost, or the worker began anew")

    async def _probe(self, conn: AsyncConnection) -> None:
        """Return when the connection is lost; a silent loss shows within a probe's time."""
        while True:
            try:
                async with asyncio.timeout(_PROBE_SEC):
                    await self._stirred.wait()
                return
            except TimeoutError:
                pass
            try:
                async with asyncio.timeout(_ANSWER_SEC):
                    await conn.exec_driver_sql("SELECT 1")
            except (TimeoutError, SQLAlchemyError, OSError):
                return

    def _fall_back(self, reason: str) -> None:
        self.retry_sec = _RECONNECT_SEC
        self._announce(WakeUps("polling", reason))
        self._wake()

    def _announce(self, wake_ups: WakeUps) -> None:
        if wake_ups != self.wake_ups:
            self.wake_ups = wake_ups
            logs.wake_ups_changed(wake_ups.mode, wake_ups.reason)
