"""The database's servers, and what befalls them: crashes, cut connections, a failover."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol, Self, TypeVar

from session_router.database.migrate import Target, upgrade
from tests.faults.load import LEASE_SEC
from tests.faults.proxy import Proxy
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.standby import Standby, fence

S = TypeVar("S", bound=PostgresServer)

_APP = "app"
_ROLE = (
    f"CREATE ROLE {_APP} LOGIN PASSWORD '{PASSWORD}'",
    f"GRANT CREATE ON DATABASE postgres TO {_APP}",
)
_CLIENTS = f"SELECT pid FROM pg_stat_activity WHERE usename = '{_APP}'"
_HOLDERS = """
    SELECT state, clock_timestamp() - xact_start, left(query, 80) FROM pg_stat_activity
    WHERE pid IN (SELECT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity)
      AND cardinality(pg_blocking_pids(pid)) = 0"""


class Blow(Protocol):
    """What befalls servers or workers; it ends when the next one may come."""

    @property
    def __name__(self) -> str: ...

    def __call__(self) -> Coroutine[Any, Any, None]: ...


class Servers:
    """A primary with a synchronous standby, reached through a proxy; two at any time.

    Attributes:
        primary: the server that can be written to at the moment.
        proxy: where clients connect to, whichever server that is.
    """

    primary: PostgresServer
    proxy: Proxy
    _standby: Standby

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._running = AsyncExitStack()
        self._logs: list[Callable[[], str]] = []

    async def __aenter__(self) -> Self:
        try:
            self.primary = await self._run(PostgresServer())
            self.proxy = await self._running.enter_async_context(Proxy(self.primary.port))
            await asyncio.to_thread(self.primary.execute, *_ROLE)
            await upgrade(Target(self.clients_url))
            await self._add_standby()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    @property
    def url(self) -> str:
        """The primary's, past the proxy."""
        return self.primary.url()

    @property
    def clients_url(self) -> str:
        """What the workers connect to, as a role that is no superuser; the same over failovers."""
        return f"postgresql://{_APP}:{PASSWORD}@127.0.0.1:{self.proxy.port}/postgres"

    def log(self) -> str:
        """What all servers have logged."""
        return "".join(log() for log in self._logs)

    async def what_holds_others_up(self) -> str:
        """The transactions that others wait for, as the server tells them."""
        return await asyncio.to_thread(self.primary.execute, _HOLDERS)

    @property
    def blows(self) -> list[Blow]:
        """What may befall them, again and again; each returns when new connections are good."""
        return [
            self.crash,
            self.kill,
            self.kill_one_process,
            self.restart,
            self.cut_half_of_the_clients,
            self.refuse_connections,
            self.fall_silent,
            self.lose_the_primary,
        ]

    async def crash(self) -> None:
        """SIGQUIT: all processes go at once, the clients are told."""
        await self._interrupted(lambda: self.primary.stop("immediate"))

    async def kill(self) -> None:
        """SIGKILL of the main process: the clients are told nothing."""
        await self._interrupted(self.primary.kill)

    async def restart(self) -> None:
        """A restart in order: the clients are told to go."""
        await self._interrupted(lambda: self.primary.stop("fast"))

    async def kill_one_process(self) -> None:
        """SIGKILL of one client's process: the server throws all out and recovers by itself."""
        for pid in (await self._clients())[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def cut_half_of_the_clients(self) -> None:
        """An administrator terminates connections."""
        clients = await self._clients()
        await self._terminate(clients[: len(clients) // 2])

    async def refuse_connections(self) -> None:
        """The server takes no connection for a while, and says why, as when it has too many."""
        limit = f"ALTER ROLE {_APP} CONNECTION LIMIT"
        await asyncio.to_thread(self.primary.execute, f"{limit} 0")
        await self._terminate(await self._clients())
        await asyncio.sleep(self._chance.uniform(0.3, 1.3) * LEASE_SEC)
        await asyncio.to_thread(self.primary.execute, f"{limit} -1")

    async def fall_silent(self) -> None:
        """The connections of today lead nowhere, and nobody is told; new ones are good."""
        silent = self.proxy.silence()
        await asyncio.sleep(self._chance.uniform(1.5, 3) * LEASE_SEC)
        self.proxy.cut(silent)

    async def lose_the_primary(self) -> None:
        """The primary dies for good, in the middle of everything; the standby takes its place."""
        old = self.primary
        await asyncio.to_thread(self._standby.wait_until_it_has, old)
        await asyncio.to_thread(old.kill)
        await self._promote()
        self.proxy.target = self.primary.port
        await self.replace(old)

    async def fail_over(self) -> PostgresServer:
        """The standby takes the primary's place; returns the old primary, to be replaced.

        That one can be read only. Connections are made to it for a moment yet, and those that
        there are stay: who keeps to them is stuck.
        """
        old = self.primary
        await asyncio.to_thread(fence, old)
        await asyncio.to_thread(self._standby.wait_until_it_has, old)
        await self._promote()
        await asyncio.sleep(self._chance.uniform(0.5, 1) * LEASE_SEC)
        self.proxy.target = self.primary.port
        return old

    async def replace(self, old: PostgresServer) -> None:
        """Stop a server that was the primary; the present one gets a new standby."""
        await asyncio.to_thread(old.stop, "immediate")
        await self._add_standby()

    async def _promote(self) -> None:
        await asyncio.to_thread(self._standby.promote)
        self.primary = self._standby

    async def _add_standby(self) -> None:
        self._standby = await self._run(Standby(self.primary))
        await asyncio.to_thread(self._standby.be_waited_for, self.primary)

    async def _run(self, server: S) -> S:
        await asyncio.to_thread(self._running.enter_context, server)
        self._logs.append(server.log)
        return server

    async def _interrupted(self, stop: Callable[[], None]) -> None:
        """Stop the server and start it again after a while.

        Who connects meanwhile is refused, or taken and cut off as by a balancer.
        """
        await asyncio.to_thread(stop)
        if self._chance.random() < 0.5:
            self.proxy.refuse()
        await asyncio.sleep(self._chance.uniform(0.2, 1.3) * LEASE_SEC)
        await self.proxy.accept()  # so that clients also meet one that is starting up
        await asyncio.to_thread(self.primary.start)

    async def _terminate(self, pids: list[int]) -> None:
        chosen = f"ARRAY{pids}::int[]"
        terminate = f"SELECT pg_terminate_backend(pid) FROM unnest({chosen}) AS pid"
        await asyncio.to_thread(self.primary.execute, terminate)

    async def _clients(self) -> list[int]:
        """The processes of clients, in random order."""
        said = await asyncio.to_thread(self.primary.execute, _CLIENTS)
        pids = [int(line) for line in said.split()]
        self._chance.shuffle(pids)
        return pids
