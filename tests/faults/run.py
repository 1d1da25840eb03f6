"""One run: the storm, the calm after it, and all checks."""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from session_router.audit import trail as audit
from session_router.audit.keys import AuditKeys
from session_router.audit.seals import Seal, seal
from session_router.audit.verification import verify
from session_router.pseudonyms import ErasureKey
from tests.faults.checks import findings
from tests.faults.evidence import Journals, Trail
from tests.faults.findings import Finding
from tests.faults.fleet import Fleet
from tests.faults.leftovers import leftovers, orphans
from tests.faults.load import LEASE_SEC
from tests.faults.servers import Servers
from tests.faults.storm import Storm, stuck
from tests.support.laws_sql import breaches

_SLOW_MACHINE_SEC: Final = 10.0
"""How much longer than it should take anything may take where nothing is fast."""
_KEYS: Final = AuditKeys(ErasureKey("a key that seals the trail of one storm"))


@dataclass
class Outcome:
    """What was seen of a run."""

    blows: Counter[str] = field(default_factory=Counter)
    found: list[Finding] = field(default_factory=list)
    journals: Journals = field(default_factory=Journals)
    streams: int = 0


async def run(seconds: float, seed: int, folder: Path) -> Outcome:
    """Let it storm for so long, and look at everything afterwards.

    Args:
        folder: where the workers' journals and the servers' log are to be.
    """
    chance = random.Random(seed)  # noqa: S311 - a storm, not a secret
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(chance))
        fleet = await stack.enter_async_context(Fleet(servers.clients_url, folder, chance))
        storm = Storm(servers, fleet, chance, lambda: _sealed(servers.url))
        await storm.rage(seconds)
        found = [*storm.findings, *await _what_the_calm_shows(servers, fleet)]
        journals = Journals.read(fleet.journals)
        (folder / "servers.log").write_text(servers.log())
        trail = await Trail.read(servers.url)
        found += findings(journals, trail)
        found += await _broken_laws(servers.url, storm.sealed)
    return Outcome(storm.blows, found, journals, len(trail.started))


async def _what_the_calm_shows(servers: Servers, fleet: Fleet) -> list[Finding]:
    """All work again, come to rest, hold on to nothing that is over, and leave in order."""
    found = await stuck(servers, fleet, "after the storm")
    found += [Finding("does not come to rest", name) for name in await fleet.calm()]
    await asyncio.sleep(2 * LEASE_SEC)
    found += await _lasting_orphans(servers, fleet)
    found += [Finding("does not leave", name) for name in await fleet.leave()]
    found += [Finding("a worker ended by itself", said) for said in fleet.crashed]
    found += await leftovers(servers.url)
    deadlocks = servers.log().count("deadlock detected")
    found += [Finding("a deadlock in the server's log", "see there")] * deadlocks
    return found


async def _lasting_orphans(servers: Servers, fleet: Fleet) -> list[Finding]:
    deadline = time.monotonic() + _SLOW_MACHINE_SEC
    while found := await orphans(servers.url, fleet.living()):
        if time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)
    return []


async def _sealed(url: str) -> list[Seal]:
    """Seals over the trail up to now."""
    async with audit.Trail.opened(url) as trail:
        return await seal(trail, _KEYS)


async def _broken_laws(url: str, sealed: list[Seal]) -> list[Finding]:
    """The conservation laws as they stand in the tests, and as `audit verify` finds them."""
    async with audit.Trail.opened(url) as trail:
        verified = await verify(trail, _KEYS, sealed)
        async with trail.snapshot() as conn:
            broken = await breaches(conn)
    return [
        *(Finding(f"law broken: {law}", f"{number} time(s)") for law, number in broken.items()),
        *(Finding("audit verify", str(violation)) for violation in verified.violations),
    ]
