"""A process that delivers: `python -m tests.hooks.deliver URL`, until it is killed."""

import asyncio
import sys
from datetime import timedelta

from session_router.database.engine import create_engine
from session_router.hooks import Hooks

OFTEN = [timedelta(milliseconds=200)] * 10_000


async def main(url: str) -> None:
    async with Hooks(create_engine(url), pauses=OFTEN):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
