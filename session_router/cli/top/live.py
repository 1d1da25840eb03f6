"""The view that goes on: it reads, draws, and does what the keys say, until it is left."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from session_router.cli.output import escape
from session_router.cli.top.picture import KEYS, Away, Look, name_of, picture
from session_router.cli.top.terminal import Terminal, TerminalGoneError, taken
from session_router.cli.top.view import PASSING, View, read
from session_router.errors import SessionRouterError
from session_router.repository.results import Found

if TYPE_CHECKING:
    from session_router.manager import SessionManager
    from session_router.repository.results import StreamInterrupt
    from session_router.watch import Watch
    from session_router.watch.records import StreamLine

_PAGE: Final = 10
_MOVES: Final = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page up": -_PAGE,
    "page down": _PAGE,
    "home": -(10**6),
    "end": 10**6,
}
_REASON: Final = "top"
_ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Asked:
    """How often it is read, who stops, and how long receipts are waited for, in seconds."""

    database: str
    every_sec: float
    actor: str | None
    wait_sec: float


class Live:
    """A picture on a terminal, which keys change."""

    def __init__(self, manager: SessionManager, watch: Watch, view: View, asked: Asked) -> None:
        self._manager = manager
        self._watch = watch
        self._view = view
        self._asked = asked
        self._away: Away | None = None
        self._chosen: StreamLine | None = None
        self._to_stop: StreamLine | None = None
        self._part = ""
        self._is_typing = False
        self._told = ""
        self._is_left = False
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keep_chosen()

    async def run(self) -> None:
        """Go on until `q`, a signal, or the terminal's end."""
        loop = asyncio.get_running_loop()
        with taken() as terminal:
            loop.add_reader(terminal.keyboard, self._hear, terminal)
            for number in _ENDS:
                loop.add_signal_handler(number, self._leave)
            loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
            self._begin(asyncio.create_task(self._keep_reading()))
            try:
                await self._keep_drawing(terminal)
            finally:
                loop.remove_reader(terminal.keyboard)
                for number in _ENDS:  # what is left to do may take long, and can be cut short
                    loop.remove_signal_handler(number)
                await self._end_tasks()

    async def _keep_drawing(self, terminal: Terminal) -> None:
        while not self._is_left:
            self._changed.clear()
            terminal.draw(picture(self._view, self._look(), *terminal.size()))
            await self._changed.wait()
            for task in [task for task in self._tasks if task.done()]:
                self._tasks.remove(task)
                task.result()

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._changed.set())

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_reading(self) -> None:
        while True:  # the first view was read before the terminal was taken
            with suppress(TimeoutError):
                async with asyncio.timeout(self._asked.every_sec):
                    await self._hurry.wait()
            self._hurry.clear()
            try:
                self._view = await read(self._watch, self._part)
                self._away = None
            except PASSING as error:
                since = datetime.now(UTC) if self._away is None else self._away.since
                self._away = Away(since, str(error))
            self._keep_chosen()
            self._changed.set()

    def _keep_chosen(self) -> None:
        """The stream that is chosen; where it is gone, the one that has come to its place."""
        lines = self._view.page.lines
        if self._chosen is None or not lines:
            self._chosen = lines[0] if lines else None
            return
        chosen = self._chosen
        same = next((line for line in lines if line.stream_id == chosen.stream_id), None)
        after = (line for line in lines if line.started_at >= chosen.started_at)
        self._chosen = same or next(after, lines[-1])

    def _look(self) -> Look:
        if self._is_typing:
            below = f"filter by a part of session or agent: {escape(self._part)}_"
        elif self._to_stop is not None:
            below = f"y/n? stop {name_of(self._to_stop)}"
        else:
            below = self._told or KEYS
        chosen = None if self._chosen is None else self._chosen.stream_id
        return Look(self._asked.database, chosen, below, self._away)

    def _leave(self) -> None:
        self._is_left = True
        self._changed.set()

    # Keys

    def _hear(self, terminal: Terminal) -> None:
        try:
            keys = terminal.keys()
        except TerminalGoneError:
            keys = ["leave"]
        for key in keys:
            self._press(key)
        self._changed.set()

    def _press(self, key: str) -> None:
        if key == "leave":
            self._leave()
        elif self._is_typing:
            self._type(key)
        elif self._to_stop is not None:
            self._answer(self._to_stop, key)
        elif key == "q":
            self._leave()
        elif key == "/":
            self._is_typing = True
        elif key == "s":
            self._ask()
        elif key in _MOVES:
            self._move(_MOVES[key])

    def _type(self, key: str) -> None:
        """Each character narrows the list at once; escape gives up what was typed."""
        if key in ("enter", "escape"):
            self._is_typing = False
        part = self._part
        if key == "escape":
            part = ""
        elif key == "backspace":
            part = part[:-1]
        elif len(key) == 1 and key.isprintable():
            part += key
        if part != self._part:
            self._part = part
            self._hurry.set()

    def _move(self, by: int) -> None:
        lines = self._view.page.lines
        self._told = ""
        if self._chosen is not None and lines:
            stream_id = self._chosen.stream_id
            at = next((n for n, line in enumerate(lines) if line.stream_id == stream_id), 0)
            self._chosen = lines[min(max(at + by, 0), len(lines) - 1)]

    def _ask(self) -> None:
        if self._chosen is None:
            self._told = "no stream is there to be stopped"
        elif self._chosen.stop is not None:
            self._told = f"told to stop already: {name_of(self._chosen)}"
        else:
            self._to_stop = self._chosen

    def _answer(self, line: StreamLine, key: str) -> None:
        self._to_stop = None
        if key in ("y", "Y"):
            self._told = f"stopping ... {name_of(line)}"
            self._begin(asyncio.create_task(self._stop(line)))
        else:
            self._told = "nothing was stopped"

    async def _stop(self, line: StreamLine) -> None:
        stopping = self._manager.interrupt_stream(
            line.session_id,
            line.stream_id,
            actor=self._asked.actor,
            reason=_REASON,
            wait=self._asked.wait_sec,
        )
        try:
            self._told = f"{_receipt(await stopping)}: {name_of(line)}"
        except SessionRouterError as error:
            self._told = escape(str(error))
        self._hurry.set()


def _receipt(did: StreamInterrupt) -> str:
    if did.found is Found.OVER:
        return "had ended already"
    return did.outcome or "told to stop, not settled yet"
