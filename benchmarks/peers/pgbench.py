"""pgbench: the same statement from PostgreSQL's own load generator, written in C."""

import asyncio
import math
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.bench import plain
from benchmarks.load import Length, Window
from benchmarks.peers.bare_asyncpg import TOUCH
from tests.support.postgres import installed_program

_THREADS: Final = 2
# Its time runs from before its clients connect, one after the other.
_CONNECTING_SEC: Final = 1.0
_CONNECTING_SEC_EACH: Final = 1 / 64


@dataclass(frozen=True)
class Pgbench:
    """Touches, by as many clients as there are callers, each with a connection of its own."""

    name: str
    url: str
    sessions: int

    async def window(self, callers: int, length: Length) -> Window:
        with TemporaryDirectory() as folder:
            script = Path(folder) / "touch.sql"
            script.write_text(
                f"\\set number random(0, {self.sessions - 1})\n"
                + " ".join(TOUCH.split()).replace("$1", "'session-' || :number")
                + ";\n"
            )
            said = await self._run(folder, callers, length, f"--file={script}")
            transactions = list(_transactions(Path(folder)))
            assert transactions, said
            begin = min(made_at for made_at, _ in transactions) + length.warm_up
            end = begin + length.seconds
            assert max(made_at for made_at, _ in transactions) > end - 0.1, "it connected too late"
            return Window.of(transactions, begin, end)

    async def _run(self, folder: str, callers: int, length: Length, script: str) -> str:
        connecting = _CONNECTING_SEC + _CONNECTING_SEC_EACH * callers
        process = await asyncio.create_subprocess_exec(
            *(installed_program("pgbench"), "--no-vacuum", "--protocol=prepared", "--log", script),
            f"--client={callers}",
            f"--jobs={min(_THREADS, callers)}",
            f"--time={math.ceil(connecting + length.warm_up + length.seconds)}",
            plain(self.url),
            cwd=folder,
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()


def _transactions(folder: Path) -> Iterator[tuple[float, float]]:
    """When each was begun and ended, in seconds."""
    for log in folder.glob("pgbench_log.*"):
        for line in log.read_text().splitlines():
            _, _, took_us, _, second, microsecond = map(int, line.split())
            ended_at = second + microsecond / 1e6
            yield ended_at - took_us / 1e6, ended_at
