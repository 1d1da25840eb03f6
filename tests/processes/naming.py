"""One side of the races of named streams: `python -m tests.processes.naming URL SIDE SEED`.

An order is two numbers: from which race to which. The side `register` registers the stream of each,
and `stop` stops it, many at a time and in the same order; each race has a session of its own or one
of a few that live. It answers with what came of them, counted, as JSON.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from uuid import UUID

from session_router import (
    AgentId,
    LocalAgentRuntime,
    SessionManager,
    SQLAlchemySessionRepository,
    StreamStoppedError,
)
from tests.processes.storm import Agent

AT_ONCE = 16
BATCH = 50
"""So often the sides wait for each other, or the quicker one would win every race."""
_LIVING = 8


def name_of(race: int) -> UUID:
    return UUID(int=race, version=4)


def place_of(race: int) -> tuple[str, AgentId]:
    """Half of the races in sessions that live, where agents keep out of each other's way."""
    session_id = f"living-{race % _LIVING}" if race % 2 else f"race-{race}"
    return session_id, AgentId("writer", str(race))


class Side:
    def __init__(self, manager: SessionManager, runtime: LocalAgentRuntime, seed: str) -> None:
        self._manager = manager
        self._runtime = runtime
        self._chance = random.Random(seed)  # noqa: S311 - spreads the races only
        self.counts: Counter[str] = Counter()

    async def register(self, race: int) -> str:
        session_id, agent_id = place_of(race)
        self._runtime.add(agent_id, Agent())
        try:
            await self._manager.register_agent(session_id, agent_id, stream_id=name_of(race))
        except StreamStoppedError:
            return "stopped"
        return "registered"

    async def stop(self, race: int) -> str:
        session_id, _ = place_of(race)
        return (await self._manager.interrupt_stream(session_id, name_of(race))).found

    async def run(self, side: str, first: int, last: int) -> None:
        races = iter(range(first, last))

        async def one_after_the_other() -> None:
            for race in races:
                # Each side is behind the other in every second batch: both orders are met often.
                is_behind = (race // BATCH % 2 == 0) == (side == "stop")
                await asyncio.sleep(self._chance.random() * (0.1 if is_behind else 0.002))
                self.counts[await getattr(self, side)(race)] += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def main(url: str, name: str, seed: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=60)
    runtime = LocalAgentRuntime()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with SessionManager(repository, runtime) as manager:
        side = Side(manager, runtime, seed)
        print("ready", flush=True)  # noqa: T201 - to the test
        while order := await reader.readline():
            side.counts.clear()
            await side.run(name, *map(int, order.split()))
            print(json.dumps(side.counts), flush=True)  # noqa: T201 - to the test
    await repository.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
