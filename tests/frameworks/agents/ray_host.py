"""A program of Ray's: two agents in actors, which have a process each.

`python -m tests.frameworks.agents.ray_host DATABASE_URL` prints `writer/a streams` and, at its end,
how its actor's answer ended. It obeys the lines of its standard input, `ray.kill a` or
`ray.cancel a`, up to an empty one.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

# Ray reads these when it is imported: loopback only, with a secret; no statistics are sent.
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_AUTH_TOKEN=os.urandom(32).hex())
os.environ.update(RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES="80000000", RAY_USAGE_STATS_ENABLED="0")
import ray

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.frameworks.ray_settings import SESSION, TUNING


async def words() -> AsyncIterator[str]:
    while True:
        yield "word"
        await asyncio.sleep(0.1)


@ray.remote
class Writer:
    def __init__(self, database_url: str) -> None:
        repository = SQLAlchemySessionRepository.from_url(database_url)
        self._manager = SessionManager(repository, tuning=TUNING)

    async def answer(self, agent: AgentId) -> AsyncIterator[str]:
        stream = self._manager.stream(SESSION, agent, words())
        async for _ in stream:
            yield "streams"
        yield f"was {stream.outcome}"

    async def shutdown(self) -> None:
        await self._manager.shutdown()
        await self._manager.repository.close()


class Conversation:
    """What the driver has of one actor."""

    def __init__(self, name: str, database_url: str) -> None:
        self.writer = Writer.remote(database_url)
        self._agent = AgentId("writer", name)
        self.answer = self.writer.answer.remote(self._agent)

    async def follow(self) -> None:
        last = ""
        try:
            async for said in self.answer:
                last = self._tell(await said, last)
            await self.writer.shutdown.remote()
        except ray.exceptions.RayError as error:
            self._tell(type(error).__name__, last)

    def _tell(self, now: str, last: str) -> str:
        if now != last:
            sys.stdout.write(f"{self._agent} {now}\n")
            sys.stdout.flush()
        return now


async def obey(conversations: dict[str, Conversation]) -> None:
    while order := (await asyncio.to_thread(sys.stdin.readline)).split():
        what, name = order
        if what == "ray.kill":
            ray.kill(conversations[name].writer)
        else:
            ray.cancel(conversations[name].answer)


async def main(database_url: str) -> None:
    conversations = {name: Conversation(name, database_url) for name in "ab"}
    following = [conversation.follow() for conversation in conversations.values()]
    await asyncio.gather(obey(conversations), *following)


if __name__ == "__main__":
    with ray.init("local", num_cpus=2, include_dashboard=False, logging_level="ERROR"):
        asyncio.run(main(sys.argv[1]))
