"""google-adk's DatabaseSessionService, in a process and an environment of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.load import Length, Window
from tests.support.processes import PythonProcess

_CHECKOUT: Final = Path(__file__).parents[2]
# `make bench` makes it; the marker says that it is complete.
_PYTHON: Final = _CHECKOUT / "build/adk/bin/python"
_READY: Final = _CHECKOUT / "build/adk/ready"


@dataclass(frozen=True)
class Adk:
    """The service doing one kind of work."""

    name: str
    work: str
    process: PythonProcess

    async def window(self, callers: int, length: Length) -> Window:
        order = f"{self.work} {callers} {length.warm_up} {length.seconds}"
        await self.process.tell(order)
        said = await self.process.line(within=120)
        return Window(*map(float, said.split()))


@asynccontextmanager
async def adk_process(bench: Bench, sessions: int) -> AsyncIterator[PythonProcess | None]:
    """The process, its service on a database of so many sessions; None when not installed."""
    if not _READY.exists():
        yield None
        return
    async with (
        bench.database() as url,
        PythonProcess.started(
            *("-m", "benchmarks.children.adk", url, str(sessions)), cwd=_CHECKOUT, python=_PYTHON
        ) as process,
    ):
        assert await process.line(within=120) == "ready"
        yield process
