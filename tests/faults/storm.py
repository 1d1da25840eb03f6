"""What befalls servers and workers, when, and in which order: all of it drawn from one seed."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

from session_router.audit.seals import Seal
from tests.faults.findings import Finding
from tests.faults.fleet import Fleet
from tests.faults.load import LEASE_SEC
from tests.faults.servers import Blow, Servers


class Storm:
    """Blows to the servers every 5 to 20 s, to the workers every 4 to 10 s, one failover.

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
        self.blows: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.sealed: list[Seal] = []

    async def rage(self, seconds: float) -> None:
        """Return when it is over, with all servers and workers up."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._strike_servers(end - seconds / 2, end))
            group.create_task(self._strike_workers(end))

    async def _strike_servers(self, middle: float, end: float) -> None:
        blows = self._in_random_order(self._servers.blows)
        await self._strike(blows, (5, 20), middle)
        await self._fail_over()
        await self._strike(blows, (5, 20), end)

    async def _strike_workers(self, end: float) -> None:
        blows = self._in_random_order([self._fleet.kill_one, self._fleet.pause_one])
        await self._strike(blows, (4, 10), end, self._workers_in_peace)

    async def _strike(
        self,
        blows: Iterator[Blow],
        pause_sec: tuple[float, float],
        end: float,
        turn: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        """One blow after the other; the pauses are from the beginning of one to that of the next.

        Args:
            turn: held during each.
        """
        while (at := time.monotonic() + self._chance.uniform(*pause_sec)) < end:
            blow = next(blows)
            async with turn or nullcontext():
                await blow()
            self.blows[blow.__name__] += 1
            await asyncio.sleep(at - time.monotonic())

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
