"""Tells what memory touching takes: `python -m benchmarks.children.visitor URL`.

At the order `touch NUMBER` it touches so many sessions, each another one, and at `list NUMBER` it
lists so many, page by page. To each order it answers with its memory in bytes.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.children.orders import orders, say
from benchmarks.population import session_id
from session_router import SessionManager, SQLAlchemySessionRepository

_CALLERS: Final = 64
_PAGE: Final = 1_000


class Visitor:
    """A started manager, and how it is used."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    async def touch(self, number: int) -> None:
        async def caller(first: int) -> None:
            for n in range(first, number, _CALLERS):
                assert await self._manager.get_session(session_id(n)) is not None

        await asyncio.gather(*(caller(first) for first in range(_CALLERS)))

    async def list(self, number: int) -> None:
        after = None
        for _ in range(number // _PAGE):
            page = await self._manager.repository.list_sessions(after=after, limit=_PAGE)
            assert len(page) == _PAGE
            after = page[-1].session_id


def resident_bytes() -> int:
    """What of this process is in memory now, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def main(url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        visitor = Visitor(manager)
        say(str(resident_bytes()))
        async for [work, number] in orders():
            await getattr(visitor, work)(int(number))
            say(str(resident_bytes()))
    await repository.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
