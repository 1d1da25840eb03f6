"""A stream of a program that has no way to the database, stopped by another such program.

`python examples/remote_stop.py URL` counts until `python examples/remote_stop.py URL stop` is run.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from itertools import count

from session_router import AgentId
from session_router.client import connect


async def numbers() -> AsyncIterator[int]:
    for number in count(1):
        yield number
        await asyncio.sleep(0.1)


async def main(url: str, *, stop: bool) -> None:
    async with connect(url, os.environ.get("ROUTER_KEY")) as manager:
        if stop:  # whatever streams in this session, in whichever program
            stopped = await manager.interrupt_streaming_agents("chat-1", actor="ann", wait=10)
            print(*(f"{agent} {outcome}" for agent, outcome in stopped.items()), sep="\n")
        else:
            stream = manager.stream("chat-1", AgentId("counter", "a"), numbers())
            async for number in stream:
                print(number, flush=True)
            print(stream.outcome)


asyncio.run(main(sys.argv[1], stop="stop" in sys.argv))
