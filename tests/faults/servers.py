"""The database's servers, and what befalls them: crashes, cut connections, a failover."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from tests.faults.load import LEASE_SEC
from tests.faults.proxy import Proxy
from tests.support.postgres import PostgresServer
from tests.support.standby import Standby, fence

_CLIENTS = (
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND pid <> pg_backend_pid()"
)
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
    """A primary with a synchronous standby, reached through a proxy.

    Attributes:
        primary: the server that can be written to at the moment.
    """

    def __init__(
        self, primary: PostgresServer, standby: Standby, proxy: Proxy, chance: random.Random
    ) -> None:
        self.primary = primary
        self._servers: list[PostgresServer] = [primary, standby]
        self._standby: Standby | None = standby
        self._proxy = proxy
        self._chance = chance

    @property
    def url(self) -> str:
        """The primary's, past the proxy."""
        return self.primary.url()

    def log(self) -> str:
        """What all servers have logged."""
        return "".join(server.log() for server in self._servers)

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
            self.fall_silent,
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
        pids = ", ".join(map(str, clients[: len(clients) // 2 + 1]))
        if pids:
            terminate = f"SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[{pids}]) AS pid"
            await asyncio.to_thread(self.primary.execute, terminate)

    async def fall_silent(self) -> None:
        """The connections of today lead nowhere, and nobody is told; new ones are good."""
        silent = self._proxy.silence()
        await asyncio.sleep(self._chance.uniform(1.5, 3) * LEASE_SEC)
        self._proxy.cut(silent)

    async def fail_over(self) -> PostgresServer:
        """The standby takes the primary's place; returns the old primary.

        That one can be read only. Connections are made to it for a moment yet, and those that
        there are stay: who keeps to them is stuck.
        """
        assert self._standby is not None
        old, new = self.primary, self._standby
        await asyncio.to_thread(fence, old)
        await asyncio.to_thread(new.promote)
        await asyncio.sleep(self._chance.uniform(0.5, 1) * LEASE_SEC)
        self.primary, self._standby = new, None
        self._proxy.target = new.port
        return old

    async def _interrupted(self, stop: Callable[[], None]) -> None:
        """Stop the server and start it again after a while.

        Who connects meanwhile is refused, or taken and cut off as by a balancer.
        """
        await asyncio.to_thread(stop)
        if self._chance.random() < 0.5:
            self._proxy.refuse()
        await asyncio.sleep(self._chance.uniform(0.2, 1.3) * LEASE_SEC)
        await self._proxy.accept()  # so that clients also meet one that is starting up
        await asyncio.to_thread(self.primary.start)

    async def _clients(self) -> list[int]:
        """The processes of clients, in random order."""
        said = await asyncio.to_thread(self.primary.execute, _CLIENTS)
        pids = [int(line) for line in said.split()]
        self._chance.shuffle(pids)
        return pids
