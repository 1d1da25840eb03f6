"""Many tasks that start the same sessions: `python -m tests.processes.starters URL NUMBER`."""

import asyncio
import sys

from session_router import SessionManager, SQLAlchemySessionRepository


async def main(url: str, number: int) -> None:
    repository = SQLAlchemySessionRepository.from_url(url, deadline_sec=60)
    async with SessionManager(repository) as manager, asyncio.TaskGroup() as group:
        for n in range(number):
            for _ in range(4):
                group.create_task(manager.start_session(f"s{n}"))
    await repository.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
