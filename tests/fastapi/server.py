"""Web servers in processes of their own, and answers that are read while they come."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import httpx

from tests.fastapi.agreed import DATABASE, IS_UP
from tests.fastapi.events import Events
from tests.support.postgres import free_port
from tests.support.waiting import eventually

_ROOT: Final = Path(__file__).parent.parent.parent


class Server:
    """A server of `tests.fastapi.chat`; killed at the latest when the block ends."""

    def __init__(self, process: Process, port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self.url = f"http://127.0.0.1:{port}"

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        command: str,
        database_url: str,
        *,
        processes: int = 1,
        python: str | Path = sys.executable,
    ) -> AsyncIterator[Self]:
        """Yields when it serves, in all its processes.

        Args:
            command: what `python -m` runs, with `{app}`, `{port}` and `{processes}` in it.
        """
        port = free_port()
        words = command.format(app="tests.fastapi.chat:app", port=port, processes=processes).split()
        env = {**os.environ, DATABASE: database_url, "PYTHONPATH": str(_ROOT)}
        with TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            with log.open("w") as written:
                process = await asyncio.create_subprocess_exec(
                    *(str(python), "-m", *words),
                    env=env,
                    cwd=folder,
                    stdout=written,
                    stderr=written,
                    start_new_session=True,
                )
            server = cls(process, port, log)
            try:
                await eventually(lambda: server._serves(processes), within=60)
                yield server
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def order(self, order: signal.Signals) -> None:
        """Send a signal to the process that was started, not to those that it has started."""
        self._process.send_signal(order)

    async def exit_code(self, *, within: float = 30) -> int:
        async with asyncio.timeout(within):
            return await self._process.wait()

    def client(self) -> httpx.AsyncClient:
        """A client; one request after the other goes to the same process."""
        return httpx.AsyncClient(base_url=self.url, timeout=30)

    @asynccontextmanager
    async def client_of_another(self, pid: int) -> AsyncIterator[httpx.AsyncClient]:
        """A client whose requests go to another process than that one."""
        for _ in range(500):
            async with self.client() as client:
                if (await client.get("/pid")).json() != pid:
                    yield client
                    return
        raise AssertionError(f"only process {pid} answers")

    async def _serves(self, processes: int) -> bool:
        assert self._process.returncode is None, self.log
        if self.log.count(IS_UP) < processes:
            return False
        with suppress(httpx.TransportError):
            async with self.client() as client:
                return (await client.get("/pid")).status_code == 200
        return False


class Answer:
    """An answer of server-sent events, read while it comes.

    Attributes:
        events: those that have come.
        is_complete: whether it has ended as its protocol has it, and was not cut.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.events = Events()
        self.is_complete = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, client: httpx.AsyncClient, path: str, **query: str
    ) -> AsyncIterator[Self]:
        """Ask; yields when the first item is there, and goes away when the block ends."""
        async with client.stream("POST", path, params=query) as response:
            assert response.status_code == 200, await response.aread()
            answer = cls(response)
            reading = asyncio.create_task(answer._read())
            try:
                await eventually(lambda: answer.events.told or reading.done(), within=90)
                yield answer
            finally:
                reading.cancel()
                await asyncio.wait({reading})

    async def end(self) -> tuple[str, str]:
        """The name of its last event, and the outcome that it tells, when it is complete."""
        await eventually(lambda: self.is_complete, within=90)
        return self.events.end

    async def _read(self) -> None:
        async for line in self._response.aiter_lines():
            self.events.read(line)
        self.is_complete = True
