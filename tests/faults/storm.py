"""What befalls servers and workers, when, and in which order: all of it drawn from one seed."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from session_router.audit.seals import Seal
from tests.faults.findings import Finding
from tests.faults.fleet import Fleet
from tests.faults.load import LEASE_SEC
from tests.faults.servers import Blow, Servers


class Storm:
    """Blows to the servers every 5 to 20 s, to the workers 2 to 6 s after each, one failover.

    Attributes:
        blows: how often each befell them.
        findings: what could be seen meanwhile.
        sealed: the seals over the trail as it was before the failover.

    Args:
        seal: seals the trail up to now.
    """

    def __init__(
        self,
        servers: Servers,
        fleet: Fleet,
        chance: random.Random,
        seal: Callable[[], Awaitable[list[Seal]]],
    ) -> None:
        self._servers = servers
        self._seal = seal
        self._fleet = fleet
        self._chance = chance
        self._workers_in_peace = asyncio.Lock()
        self._is_over = False
        self.blows: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.sealed: list[Seal] = []

    async def rage(self, seconds: float) -> None:
        """Return when it is over, with all servers and workers up.

        Args:
            seconds: how long, beside the failover in the middle.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._strike_servers(seconds))
            group.create_task(self._strike_workers())

    async def _strike_servers(self, seconds: float) -> None:
        blows = self._in_random_order(self._servers.blows)
        await self._strike_servers_for(seconds / 2, blows)
        await self._fail_over()
        await self._strike_servers_for(seconds / 2, blows)
        self._is_over = True

    async def _strike_servers_for(self, seconds: float, blows: Iterator[Blow]) -> None:
        """The pauses are from the beginning of one blow to that of the next."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            next_at = time.monotonic() + self._chance.uniform(5, 20)
            await self._strike(next(blows))
            await asyncio.sleep(next_at - time.monotonic())

    async def _strike_workers(self) -> None:
        blows = self._in_random_order([self._fleet.kill_one, self._fleet.pause_one])
        while not self._is_over:
            async with self._workers_in_peace:
                await self._strike(next(blows))
            await asyncio.sleep(self._chance.uniform(2, 6))

    async def _strike(self, blow: Blow) -> None:
        await blow()
        self.blows[blow.__name__] += 1

    async def _fail_over(self) -> None:
        """Two leases later all must have let go of the server that can only be read."""
        async with self._workers_in_peace:
            self.sealed = await self._seal()
            old = await self._servers.fail_over()
            self.blows["fail_over"] += 1
            await asyncio.sleep(2 * LEASE_SEC)
            self.findings += await stuck(self._servers, self._fleet, "after the failover")
            since = time.time()
            await asyncio.sleep(LEASE_SEC)
            self.findings += self._fleet.refused_since(since)
        await self._servers.replace(old)

    def _in_random_order(self, blows: list[Blow]) -> Iterator[Blow]:
        """All of them, and then again: no run leaves one out."""
        while True:
            self._chance.shuffle(blows)
            yield from blows


async def stuck(servers: Servers, fleet: Fleet, when: str) -> list[Finding]:
    """Which workers cannot write any more, and what is in their way."""
    names = await fleet.stuck()
    if not names:
        return []
    held_by = await servers.what_holds_others_up()
    return [Finding(f"stuck {when}", f"{name}; others wait for {held_by}") for name in names]
