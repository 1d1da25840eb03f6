"""One worker of a fleet, and its peers: `python -m benchmarks.children.fleet URL SESSIONS CALLERS`.

An order is `NAME BEGIN END`: who calls, and from when to when that counts, by the monotonic clock,
which on Linux is the same in all processes. It answers with how many calls were answered in that
time, and their latencies, as JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping

import uvloop

from benchmarks.children.orders import orders, say
from benchmarks.load import Call
from benchmarks.peers.bare_asyncpg import BareAsyncpg
from benchmarks.population import session_id
from benchmarks.work import Work


async def main(url: str, sessions: int, callers: int) -> None:
    async with (
        Work.ready(url, sessions) as ours,
        BareAsyncpg.ready(url, size=min(callers, 16)) as bare,
    ):
        name = str(time.monotonic_ns())

        def some_session() -> str:
            return session_id(random.randrange(sessions))  # noqa: S311 - spreads load only

        works: Mapping[str, Call] = {
            "touch": ours.touch,
            "bare-touch": lambda _: bare.touch(some_session()),
            "cycle": ours.cycle,
            "racy-cycle": lambda n: bare.racy_cycle(some_session(), "writer", f"r-{name}-{n}"),
            "safe-cycle": lambda n: bare.safe_cycle(some_session(), "writer", f"s-{name}-{n}"),
        }
        say("ready")
        async for [work, begin, end] in orders():
            say(json.dumps(await _called(works[work], callers, float(begin), float(end))))


async def _called(call: Call, callers: int, begin: float, end: float) -> dict[str, object]:
    answered, latencies = 0, []

    async def caller(number: int) -> None:
        nonlocal answered
        made_at = time.monotonic()
        while made_at < end:
            await call(number)
            answered_at = time.monotonic()
            answered += begin <= answered_at < end
            if answered_at >= begin:
                latencies.append(round(answered_at - made_at, 6))
            made_at = answered_at

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))
    return {"answered": answered, "latencies": latencies}


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
