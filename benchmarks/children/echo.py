"""Answers every NOTIFY with another: `python -m benchmarks.children.echo URL HEARD ANSWER`.

It stops at a line on standard input, or its end.
"""

import asyncio
import sys

from benchmarks.bench import connected
from benchmarks.children.orders import orders, say


async def main(url: str, heard: str, answer: str) -> None:
    rung = asyncio.Event()

    async with connected(url) as connection:

        async def answer_each() -> None:
            while True:
                await rung.wait()
                rung.clear()
                await connection.execute(f"NOTIFY {answer}")

        await connection.add_listener(heard, lambda *_: rung.set())
        answering = asyncio.create_task(answer_each())
        say("ready")
        await anext(orders(), None)
        answering.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
