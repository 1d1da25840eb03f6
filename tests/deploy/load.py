"""A worker under load, of whichever release is imported: `python load.py URL`.

Prints where that release lies, then works until its input ends, and prints one JSON object: how
many requests were answered, how long the slowest took, and what was logged as an error. A request
that fails ends it with a traceback.
"""

import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import session_router
from session_router import AgentId, SessionManager, SQLAlchemySessionRepository

SESSIONS = 6
TASKS = 8


class Errors(logging.Handler):
    """Background jobs fail without a request: what they log counts as well."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Load:
    manager: SessionManager
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answered: Counter[str] = field(default_factory=Counter)
    slowest_sec: float = 0

    async def work(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - a load, not a secret
        while not self.done.is_set():
            session_id = f"load-{chance.randrange(SESSIONS)}"
            name = chance.choice(["start", "touch", "answer", "answer", "stream", "stop", "end"])
            begun = time.monotonic()
            await getattr(self, name)(session_id, AgentId("writer", str(number)))
            self.slowest_sec = max(self.slowest_sec, time.monotonic() - begun)
            self.answered[name] += 1
            await asyncio.sleep(0.01)

    async def start(self, session_id: str, agent_id: AgentId) -> None:
        await self.manager.start_session(session_id)

    async def touch(self, session_id: str, agent_id: AgentId) -> None:
        await self.manager.get_session(session_id)

    async def answer(self, session_id: str, agent_id: AgentId) -> None:
        stream_id = await self.manager.register_agent(session_id, agent_id)
        await self.manager.unmark_agent_streaming(session_id, agent_id, stream_id)

    async def stream(self, session_id: str, agent_id: AgentId) -> None:
        async for _ in self.manager.stream(session_id, agent_id, words()):
            pass

    async def stop(self, session_id: str, agent_id: AgentId) -> None:
        await self.manager.interrupt_streaming_agents(session_id, actor="load")

    async def end(self, session_id: str, agent_id: AgentId) -> None:
        await self.manager.end_session(session_id, actor="load")


async def words() -> AsyncIterator[str]:
    for word in ("it", "was", "the", "best"):
        yield word
        await asyncio.sleep(0.01)


async def main(url: str) -> None:
    errors = Errors()
    logging.getLogger("session_router").addHandler(errors)
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        load = Load(manager)
        print(session_router.__file__, flush=True)
        async with asyncio.TaskGroup() as tasks:
            for number in range(TASKS):
                tasks.create_task(load.work(number))
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), load.done.set)
    await repository.close()
    told = {"answered": load.answered, "slowest_sec": load.slowest_sec, "errors": errors.lines}
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
