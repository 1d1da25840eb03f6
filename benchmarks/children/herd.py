"""A worker with many streams: `python -m benchmarks.children.herd URL NAME COUNT ITEMS_PER_SEC`.

It says `streaming` when all of them are, in sessions `NAME-0` and so on, and goes on until its
input ends; what is stopped is not begun anew. With 0 items a second they wait for ever.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvloop

from benchmarks.children.orders import orders, say
from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.support.waiting import eventually

_AGENT = AgentId("runaway", "benchmark")


async def items(per_sec: float) -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await (asyncio.sleep(1 / per_sec) if per_sec else asyncio.Event().wait())


async def main(url: str, name: str, count: int, per_sec: float) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        await eventually(lambda: manager.wake_ups.mode == "listening")
        streams = [manager.stream(f"{name}-{n}", _AGENT, items(per_sec)) for n in range(count)]
        await asyncio.gather(*(anext(stream) for stream in streams))

        async def consume(number: int) -> None:
            async for _ in streams[number]:
                pass

        consumers = [asyncio.create_task(consume(number)) for number in range(count)]
        say("streaming")
        async for _ in orders():
            pass
        for consumer in consumers:
            consumer.cancel()
        await asyncio.wait(consumers)
    await repository.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
