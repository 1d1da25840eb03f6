"""Agents in Ray's actors, a process each, write until `python examples/stream_stop.py stop`."""

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import zip_longest

# Ray reads these when it is imported: loopback only, with a secret; no statistics are sent.
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_AUTH_TOKEN=os.urandom(32).hex())
os.environ.update(RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES="80000000", RAY_USAGE_STATS_ENABLED="0")
import ray

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

DATABASE = "sqlite:///examples.db"  # PostgreSQL where the actors are on several machines


async def model() -> AsyncIterator[str]:
    while True:
        yield "word"
        await asyncio.sleep(0.1)


@ray.remote
class Writer:
    async def answer(self, name: str) -> AsyncIterator[str]:
        repository = SQLAlchemySessionRepository.from_url(DATABASE)
        async with SessionManager(repository) as manager:
            stream = manager.stream("chat-1", AgentId("writer", name), model())
            async for token in stream:
                yield f"{name}: {token}"
            yield f"{name}: {stream.outcome}"
        await repository.close()


asyncio.run(upgrade(Target(DATABASE)))  # makes the tables
with ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR"):
    for tokens in zip_longest(*[Writer.remote().answer.remote(name) for name in "ab"]):
        print(*ray.get([token for token in tokens if token is not None]), sep="\n", flush=True)
