"""Sweeps: `python -m benchmarks.children.sweeper URL`.

At the order `sweep` it sweeps, and answers with the seconds that it took, and how many sessions
it deleted and streams it stopped. It stops at the end of standard input.
"""

import sys
import time

import uvloop

from benchmarks.children.orders import orders, say
from session_router import SessionManager, SQLAlchemySessionRepository


async def main(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    manager = SessionManager(repository)  # not started: it would sweep by itself
    await repository.ping()
    say("ready")
    async for _ in orders():
        began = time.perf_counter()
        counts = await manager.expire_old_sessions()
        say(f"{time.perf_counter() - began!r} {counts.sessions} {counts.streams}")
    await repository.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
