"""The workers of the storm: processes that are started, watched, killed and paused."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from session_router import DatabaseError
from tests.faults.findings import Finding
from tests.faults.journal import Entry, entries, is_ours
from tests.faults.load import LEASE_SEC

_WORKERS: Final = 3
_WRITES: Final = {"register_agent", "start_new_session", "unmark_agent_streaming"}
_PATIENCE_SEC: Final = 90.0
"""For what takes seconds, but where the machine has much else to do."""


@dataclass
class Member:
    """A worker's process and its journal."""

    process: asyncio.subprocess.Process
    journal: Path
    said: Path

    @property
    def name(self) -> str:
        return self.journal.stem

    def acknowledged_writes_since(self, moment: float) -> bool:
        return any(
            e["what"] == "answered" and e["name"] in _WRITES and e["at"] > moment
            for e in entries(self.journal)
        )


class Fleet:
    """So many workers at any time; one that is killed is followed by a new one.

    Attributes:
        crashed: what was said by those that ended though nobody killed them, or badly.
    """

    def __init__(self, url: str, folder: Path, chance: random.Random) -> None:
        self._url = url
        self._folder = folder
        self._chance = chance
        self._members: list[Member] = []
        self._started = 0
        self._processes = AsyncExitStack()
        self.crashed: list[str] = []

    async def __aenter__(self) -> Self:
        try:
            for _ in range(_WORKERS):
                await self._add()
            async with asyncio.timeout(_PATIENCE_SEC):
                for member in self._members:
                    await _says("ready", member)
        except BaseException:
            await self._processes.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._processes.aclose()

    @property
    def journals(self) -> list[Path]:
        """Of all workers that there ever were."""
        return sorted(self._folder.glob("*.jsonl"))

    def living(self) -> dict[int, list[Entry]]:
        """What the workers that live now have written, by process id."""
        return {member.process.pid: entries(member.journal) for member in self._members}

    async def kill_one(self) -> None:
        """SIGKILL of one worker; another one takes its place."""
        member = self._chance.choice(self._members)
        self._members.remove(member)
        if member.process.returncode is None:
            member.process.send_signal(signal.SIGKILL)
        await member.process.wait()
        if member.process.returncode != -signal.SIGKILL:
            self._note_crash(member)
        await self._add()

    async def pause_one(self) -> None:
        """One worker stands still beyond its lease, and goes on."""
        member = self._chance.choice(self._members)
        if member.process.returncode is not None:
            return
        member.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(1.2, 2.5) * LEASE_SEC)
        finally:
            member.process.send_signal(signal.SIGCONT)

    async def stuck(self) -> list[str]:
        """Those that acknowledge no write from now on, however long they are given."""
        since, waiting = time.time(), list(self._members)
        while waiting and time.time() < since + _PATIENCE_SEC:
            await asyncio.sleep(0.5)
            waiting = [m for m in waiting if not m.acknowledged_writes_since(since)]
        return [member.name for member in waiting]

    def refused_since(self, moment: float) -> list[Finding]:
        """The calls that the database failed, where nothing is wrong with it any more.

        One that had no answer in time is none: it may have met a row that somebody still holds.
        """
        return [
            Finding(
                "the database failed a call when all was well again",
                f"{member.name}: {entry['message']}",
            )
            for member in self._members
            for entry in entries(member.journal)
            if entry["what"] == "raised"
            and entry["at"] > moment
            and is_ours(entry["error"], DatabaseError)
        ]

    async def calm(self) -> list[str]:
        """Let them begin nothing more; returns who did not come to rest."""
        return await self._late("calm", lambda member: _says("calm", member))

    async def leave(self) -> list[str]:
        """Let them shut down; returns who did not."""
        late = await self._late("leave", lambda member: member.process.wait())
        for member in self._members:
            if member.process.returncode:
                self._note_crash(member)
        return late

    async def _add(self) -> None:
        self._started += 1
        journal = self._folder / f"worker-{self._started}.jsonl"
        journal.touch()
        said = journal.with_suffix(".txt")
        with said.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "default", "-m", "tests.faults.load"),
                *(self._url, journal, str(self._chance.randrange(2**32))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        self._processes.push_async_callback(_killed, process)
        self._members.append(Member(process, journal, said))

    async def _late(
        self, order: str, obeyed: Callable[[Member], Coroutine[Any, Any, object]]
    ) -> list[str]:
        for member in self._members:
            assert member.process.stdin is not None
            member.process.stdin.write(f"{order}\n".encode())
        waits = {asyncio.create_task(obeyed(member)): member.name for member in self._members}
        _, late = await asyncio.wait(waits, timeout=_PATIENCE_SEC)
        for wait in late:
            wait.cancel()
        return [waits[wait] for wait in late]

    def _note_crash(self, member: Member) -> None:
        said = member.said.read_text(errors="replace")[-1000:]
        self.crashed.append(f"{member.name} ended with {member.process.returncode}: {said}")


async def _says(word: str, member: Member) -> None:
    assert member.process.stdout is not None
    while (line := await member.process.stdout.readline()) and line.decode().strip() != word:
        continue


async def _killed(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()
