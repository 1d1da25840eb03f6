"""An answer is stopped while it streams: `python examples/quickstart.py`."""

import asyncio

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade


async def main() -> None:
    await upgrade(Target("sqlite:///quickstart.db"))  # makes the tables
    repository = SQLAlchemySessionRepository.from_url("sqlite:///quickstart.db")
    answer = (await asyncio.sleep(0.1, word) for word in ("one", "two", "three", "four"))
    async with SessionManager(repository) as manager:
        async for word in manager.stream("chat-1", AgentId("reader", "ann"), answer):
            print(word)
            if word == "two":  # any process on this database may stop it
                print(await manager.interrupt_streaming_agents("chat-1", wait=10))
    await repository.close()


asyncio.run(main())
