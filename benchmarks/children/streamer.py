"""Streams one session after the other: `python -m benchmarks.children.streamer URL [OTHERS]`.

An order is a session id. It says `streaming` when the first item has come, and at the end the
monotonic time, which on Linux is the same in all processes. Meanwhile so many other streams go on,
with 20 items a second each.
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


async def steady() -> AsyncIterator[None]:
    while True:
        await asyncio.sleep(0.05)
        yield


async def main(url: str, others: int) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await eventually(lambda: manager.wake_ups.mode == "listening")
        beside = [
            asyncio.create_task(_consume(manager.stream(f"other-{n}", _AGENT, steady())))
            for n in range(others)
        ]
        say("ready")
        async for [session_id] in orders():
            async for number in manager.stream(session_id, _AGENT, endless()):
                if number == 0:
                    say("streaming")
            say(repr(time.monotonic()))
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    await repository.close()


async def _consume(stream: AsyncIterator[None]) -> None:
    async for _ in stream:
        pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
