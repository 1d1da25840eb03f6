"""A stream that never ends by itself is stopped: `python examples/quickstart.py`."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///quickstart.db"


async def numbers() -> AsyncIterator[int]:
    for number in count(1):
        yield number
        await asyncio.sleep(0.1)


async def main() -> None:
    await upgrade(Target(DATABASE))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url(DATABASE)
    async with SessionManager(repository) as manager:
        async for number in manager.stream("chat-1", AgentId("counter", "a"), numbers()):
            print(number)
            if number == 3:  # whoever calls this, in whichever process, stops the stream
                await manager.interrupt_streaming_agents("chat-1", actor="ann")
    for event in await repository.list_events("chat-1"):
        print(event.event, event.outcome or "-")
    await repository.close()


asyncio.run(main())
