"""Workers in processes of their own, and the ways in which they are woken."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.events import SessionEvent
from session_router.settings import Tuning
from tests.support.laws import contents, violations
from tests.support.locks import nobody_writes
from tests.support.processes import PythonProcess
from tests.support.waiting import eventually

LEASE_SEC = 3.0
TUNING = {"heartbeat_interval_sec": 0.4, "lease_sec": LEASE_SEC, "poll_interval_sec": 0.2}
NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/nothing"


class WorkerProcess:
    """A worker of `tests.anywhere.worker`, and what it has said."""

    def __init__(self, process: PythonProcess) -> None:
        self._process = process
        self._heard: list[dict[str, Any]] = []

    async def hears(self, event: str, *, within: float = 60, **fields: Any) -> dict[str, Any]:
        """Wait until it says this; what it says meanwhile is kept for later."""
        wanted = {"event": event, **fields}
        async with asyncio.timeout(within):
            while True:
                for said in self._heard:
                    if wanted.items() <= said.items():
                        self._heard.remove(said)
                        return said
                self._heard.append(json.loads(await self._process.line(within=within)))

    async def tell(self, order: str) -> None:
        await self._process.tell(order)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: Any) -> None:
        self._process.send(number)

    async def ended(self) -> None:
        await self._process.result()


@dataclass
class Workplace:
    """One database, the workers' processes on it, and the test's own manager."""

    url: str
    listen_url: str | None
    stack: AsyncExitStack
    repository: SQLAlchemySessionRepository
    manager: SessionManager
    options: dict[str, Any] = field(default_factory=dict)

    async def worker(self, *streams: tuple[str, str], **options: Any) -> WorkerProcess:
        """Start a worker, and return when all of these streams stream."""
        given = {"tuning": TUNING, "listen_url": self.listen_url, "streams": streams, **options}
        process = await self.stack.enter_async_context(
            PythonProcess.running("tests.anywhere.worker", self.url, json.dumps(given))
        )
        worker = WorkerProcess(process)
        for _, key in streams:
            await worker.hears("streaming", key=key)
        return worker

    async def pause(self, worker: WorkerProcess) -> None:
        """Stop a worker while it holds nothing.

        On SQLite one that is paused at its turn to write keeps everybody from writing.
        """
        while True:
            worker.send(signal.SIGSTOP)
            await asyncio.to_thread(os.waitpid, worker.pid, os.WUNTRACED)
            with suppress(AssertionError):
                await eventually(lambda: nobody_writes(self.url), within=1)
                return
            worker.send(signal.SIGCONT)
            # Or it would be stopped again before it has gone on.
            await eventually(lambda: nobody_writes(self.url))

    async def events(self, name: str | None = None) -> list[SessionEvent]:
        events = (await contents(self.repository)).events
        return [event for event in events if name in (None, event.event)]


@pytest.fixture(params=["listening", "polling", "sqlite"])
def wake_ups(request: pytest.FixtureRequest) -> str:
    """PostgreSQL with its doorbell, PostgreSQL where nobody can listen, and SQLite."""
    mode: str = request.param
    return mode


@pytest.fixture
async def workplace(request: pytest.FixtureRequest, wake_ups: str) -> AsyncIterator[Workplace]:
    """Checks the conservation laws when the test is over."""
    url = request.getfixturevalue("sqlite_url" if wake_ups == "sqlite" else "postgres_url")
    listen_url = NOBODY_LISTENS if wake_ups == "polling" else None
    repository = SQLAlchemySessionRepository.from_url(url, listen_url=listen_url)
    try:
        async with AsyncExitStack() as stack:
            manager = SessionManager(repository, tuning=Tuning(**TUNING))
            await stack.enter_async_context(manager)
            yield Workplace(url, listen_url, stack, repository, manager)
            assert await violations(repository) == []
    finally:
        await repository.close()
