"""One process of a storm: many tasks at random operations on few ids.

Run as `python -m tests.processes.storm URL SEED SECONDS`; a line that it is told ends it earlier.
Prints `ready` when it begins, and at the end one JSON object: how many operations were
acknowledged, and which streams were opened.
Any error ends it with a traceback, which fails the test.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from session_router import (
    AgentId,
    LocalAgentRuntime,
    SessionManager,
    SQLAlchemySessionRepository,
)

SESSIONS = [f"storm-{n}" for n in range(4)]
AGENTS = [AgentId("writer", str(n)) for n in range(3)]
TASKS = 12


class Agent:
    """Stops at once when it is told to."""

    def trigger_transient_cancel(self) -> None:
        return None


@dataclass
class Storm:
    manager: SessionManager
    chance: random.Random
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    opened: set[str] = field(default_factory=set)

    async def rage(self) -> None:
        while time.monotonic() < self.until:
            await self.step()

    def obey(self) -> None:
        """A line has come, or there will be none."""
        asyncio.get_running_loop().remove_reader(sys.stdin)
        if sys.stdin.readline():
            self.until = 0

    async def step(self) -> None:  # noqa: C901 - one case an operation reads best as one list
        manager = self.manager
        session_id, agent_id = self.chance.choice(SESSIONS), self.chance.choice(AGENTS)
        name = self.chance.choices(
            ["start", "get", "register", "unmark", "stream", "interrupt", "end", "renew", "sweep"],
            [10, 10, 20, 15, 5, 6, 3, 2, 1],
        )[0]
        match name:
            case "start":
                await manager.start_session(session_id)
            case "get":
                await manager.get_session(session_id)
            case "register":
                self.opened.add(str(await manager.register_agent(session_id, agent_id)))
            case "unmark":
                await manager.unmark_agent_streaming(session_id, agent_id)
            case "stream":
                await self.stream(session_id, agent_id)
            case "interrupt":
                await manager.interrupt_streaming_agents(session_id)
            case "end":
                await manager.end_session(session_id)
            case "renew":
                await manager.start_new_session(session_id)
            case "sweep":
                await manager.expire_old_sessions()
        self.counts[name] += 1

    async def stream(self, session_id: str, agent_id: AgentId) -> None:
        stream = self.manager.stream(session_id, agent_id, words())
        async for _ in stream:
            pass
        self.opened.add(str(stream.stream_id))


async def words() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0.002)
        yield number


async def main(url: str, seed: int, seconds: float) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    runtime = LocalAgentRuntime()
    for agent_id in AGENTS:
        runtime.add(agent_id, Agent())
    async with SessionManager(repository, runtime) as manager:
        print("ready", flush=True)  # noqa: T201
        # Seeded for a reproducible storm, not for secrets.
        chance = random.Random(seed)  # noqa: S311
        storm = Storm(manager, chance, time.monotonic() + seconds)
        asyncio.get_running_loop().add_reader(sys.stdin, storm.obey)
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(storm.rage())
    await repository.close()
    print(json.dumps({"counts": storm.counts, "opened": sorted(storm.opened)}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
