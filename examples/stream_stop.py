"""A stream is stopped from another process.

`python examples/stream_stop.py` counts until `python examples/stream_stop.py stop` is run.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import count

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///examples.db"


async def numbers() -> AsyncIterator[int]:
    for number in count(1):
        yield number
        await asyncio.sleep(0.1)


async def main(*, stop: bool) -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    async with SessionManager(repository) as manager:
        if stop:  # whatever streams in this session, in whichever process
            stopped = await manager.interrupt_streaming_agents("chat-1", actor="ann", wait=10)
            print(*(f"{agent} {outcome}" for agent, outcome in stopped.items()), sep="\n")
        else:
            stream = manager.stream("chat-1", AgentId("counter", "a"), numbers())
            async for number in stream:
                print(number, flush=True)
            print(stream.outcome)
    await repository.close()


asyncio.run(main(stop="stop" in sys.argv))
