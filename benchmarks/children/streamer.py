"""Streams one session after the other: `python -m benchmarks.children.streamer URL`.

An order is a session id. It says `streaming` when the first item has come, and at the end the
monotonic time, which on Linux is the same in all processes.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

from benchmarks.children.orders import orders, say
from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.support.waiting import eventually

_AGENT = AgentId("writer", "benchmark")


async def endless() -> AsyncIterator[int]:
    """Items at the pace of a language model's tokens."""
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.02)


async def main(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await eventually(lambda: manager.wake_ups.mode == "listening")
        say("ready")
        async for [session_id] in orders():
            async for number in manager.stream(session_id, _AGENT, endless()):
                if number == 0:
                    say("streaming")
            say(repr(time.monotonic()))
    await repository.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
