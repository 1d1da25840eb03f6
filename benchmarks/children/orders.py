"""Talk between a benchmark and its child processes: lines on standard input and output."""

import asyncio
import sys
from collections.abc import AsyncIterator


async def orders() -> AsyncIterator[list[str]]:
    """The words of each line on standard input, until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
