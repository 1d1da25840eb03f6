"""Python processes that tests start, watch and kill."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self


class PythonProcess:
    """`python -m MODULE ARGUMENTS`, killed at the latest when the block ends."""

    def __init__(self, process: Process, errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors

    @classmethod
    def running(cls, module: str, *arguments: str) -> AbstractAsyncContextManager[Self]:
        return cls.started("-m", module, *arguments)

    @classmethod
    @asynccontextmanager
    async def started(
        cls, *arguments: str, cwd: Path | None = None, python: str | Path = sys.executable
    ) -> AsyncIterator[Self]:
        """`python ARGUMENTS`, in the folder `cwd`, by this interpreter or another one."""
        # A file, since a pipe that nobody empties would stop a process that logs a lot.
        with TemporaryFile() as errors:
            process = await asyncio.create_subprocess_exec(
                python, *arguments, cwd=cwd, stdin=PIPE, stdout=PIPE, stderr=errors
            )
            try:
                yield cls(process, errors)
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

    async def line(self, *, within: float = 60) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended: {self.said()}")
        return line.decode().rstrip("\n")

    async def beginning(self, *, within: float = 20) -> str:
        """The next that it prints, be the line complete or not."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within):
            return (await self._process.stdout.read(1)).decode()

    async def result(self, *, within: float = 180) -> str:
        """What it prints to its end, which must be a good one."""
        async with asyncio.timeout(within):
            out, _ = await self._process.communicate()
        assert self._process.returncode == 0, self.said()
        return out.decode()

    def said(self) -> str:
        """What it has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode()
