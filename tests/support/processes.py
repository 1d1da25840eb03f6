"""Python processes that tests start, watch and kill."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


class PythonProcess:
    """`python -m MODULE ARGUMENTS`, killed at the latest when the block ends."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, module: str, *arguments: str) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def line(self, *, within: float = 20) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended: {await self._said()}")
        return line.decode().rstrip("\n")

    async def result(self, *, within: float = 60) -> str:
        """What it prints to its end, which must be a good one."""
        async with asyncio.timeout(within):
            out, err = await self._process.communicate()
        assert self._process.returncode == 0, err.decode()
        return out.decode()

    async def _said(self) -> str:
        _, err = await self._process.communicate()
        return err.decode()
