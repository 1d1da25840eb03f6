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
from uuid import UUID, uuid4

from session_router import (
    AgentId,
    LocalAgentRuntime,
    SessionBusyError,
    SessionManager,
    SQLAlchemySessionRepository,
    StreamStoppedError,
    WhenBusy,
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
            [
                "start",
                "get",
                "register",
                "unmark",
                "stream",
                "interrupt",
                "end",
                "renew",
                "sweep",
                "named",
                "interrupt_all",
            ],
            [10, 10, 20, 15, 5, 6, 3, 2, 1, 10, 2],
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
            case "named":
                await self.named(session_id, agent_id)
            case "interrupt_all":
                await manager.interrupt_all(agent_type=agent_id.type)
            case "end":
                await manager.end_session(session_id)
            case "renew":
                await manager.start_new_session(session_id)
            case "sweep":
                await manager.expire_old_sessions()
        self.counts[name] += 1

    async def named(self, session_id: str, agent_id: AgentId) -> None:
        """A stream and its stop, in either order or at once; and company that is refused."""
        name = uuid4()
        asked = self.manager.register_agent(
            session_id,
            agent_id,
            stream_id=name,
            when_busy=self.chance.choice(list(WhenBusy)),
            alone=self.chance.random() < 0.3,
        )
        stop = self.manager.interrupt_stream(session_id, name)
        calls = [asked, stop] if self.chance.random() < 0.5 else [stop, asked]
        for came_to in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(came_to, UUID | StreamStoppedError):
                self.opened.add(str(name))
            elif isinstance(came_to, BaseException) and not isinstance(came_to, SessionBusyError):
                raise came_to

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
    # Four processes on one file, and whatever else the machine does: nobody's turn is lost, but it
    # may come late.
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=60)
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
