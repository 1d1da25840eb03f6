"""Idle workers: `python -m benchmarks.children.idle URL NUMBER SECONDS [LISTEN_URL]`.

Each has an engine of its own, as if in a process of its own. They start one after the other
within so many seconds, so that their heartbeats and polls do not fall together, and stop at
a line on standard input, or its end. Given a `LISTEN_URL` at which nobody answers, they poll.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.children.orders import orders, say
from session_router import SessionManager, SQLAlchemySessionRepository
from tests.support.waiting import eventually


@asynccontextmanager
async def idle_worker(url: str, listen_url: str | None) -> AsyncIterator[None]:
    wanted = "polling" if listen_url else "listening"
    repository = SQLAlchemySessionRepository.from_url(url, listen_url=listen_url)
    try:
        async with SessionManager(repository) as manager:
            await eventually(lambda: manager.wake_ups.mode == wanted)
            yield
    finally:
        await repository.close()


async def main(url: str, number: int, seconds: float, listen_url: str | None = None) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(number):
            await stack.enter_async_context(idle_worker(url, listen_url))
            await asyncio.sleep(seconds / number)
        say("ready")
        await anext(orders(), None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
