"""Serving in several processes: one that watches, and as many as are wanted that serve."""

import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, NoReturn

from session_router import logs
from session_router.errors import ServeError
from session_router.http.stopping import DRAIN, NOW

Serve = Callable[[int, socket.socket], None]
"""Serves until it is told to stop; given its number, and where it is told so."""

_FIRST_PAUSE_SEC: Final = 0.5
_LONGEST_PAUSE_SEC: Final = 30.0
_STEADY_SEC: Final = 60.0
"""Who has served for so long and then ends is not one that cannot begin."""
_ORDERS: Final = {signal.SIGTERM: DRAIN, signal.SIGINT: NOW}


@dataclass
class _Process:
    """One that serves, and how often it could not.

    Attributes:
        line: to it, while it runs; it says when it serves, and its end is heard.
        due: when it is to be started, by the monotonic clock.
    """

    number: int
    pid: int = 0
    line: socket.socket | None = None
    due: float = 0.0
    started_at: float = 0.0
    pause: float = _FIRST_PAUSE_SEC


@dataclass
class Processes:
    """So many processes that serve, each started anew when it ends before it is told to.

    They are forked off a process that has neither threads nor an event loop, then or later.

    Args:
        number: how many.
        serve: what each does.
        on_serving: called once, when all of them serve.
    """

    number: int
    serve: Serve
    on_serving: Callable[[], None]
    _all: list[_Process] = field(default_factory=list)
    _serving: set[int] = field(default_factory=set)
    _failed: list[int] = field(default_factory=list)
    _order: signal.Signals | None = None
    _was_told: bool = False

    def run(self) -> None:
        """Return when all have ended, after SIGTERM or SIGINT; a second one ends all at once.

        Raises:
            ServeError: some did not end as they should have.
        """
        gc.collect()
        gc.freeze()  # what they share stays shared
        self._all = [_Process(number) for number in range(self.number)]
        with _signals() as came:
            while self._order is None or any(process.line for process in self._all):
                self._start_those_due()
                self._listen(came)
        if self._failed:
            raise ServeError(
                f"{len(self._failed)} of {self.number} processes did not end well (exit codes "
                f"{', '.join(map(str, self._failed))}); the log tells why."
            )

    def _start_those_due(self) -> None:
        if self._order is None:
            for process in self._all:
                if process.line is None and process.due <= time.monotonic():
                    self._start(process)

    def _start(self, process: _Process) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        with _held_back():
            process.pid = os.fork()
            if process.pid == 0:
                _forget_signals()
        if process.pid == 0:
            # Whoever holds the other end of a line would hide the end of this program.
            for other in (*(each.line for each in self._all), ours):
                if other is not None:
                    other.close()
            _be(self.serve, process.number, theirs)
        theirs.close()
        process.line, process.started_at = ours, time.monotonic()

    def _listen(self, came: socket.socket) -> None:
        """Wait for signals and processes, or until one is to be started."""
        with selectors.DefaultSelector() as selector:
            selector.register(came, selectors.EVENT_READ, None)
            for process in self._all:
                if process.line is not None:
                    selector.register(process.line, selectors.EVENT_READ, process)
            for key, _ in selector.select(self._until_one_is_due()):
                if key.data is None:
                    self._obey(came.recv(4_096))
                else:
                    self._hear(key.data)

    def _until_one_is_due(self) -> float | None:
        pauses = [each.due - time.monotonic() for each in self._all if each.line is None]
        return max(min(pauses), 0) if pauses and self._order is None else None

    def _obey(self, numbers: bytes) -> None:
        for number in numbers:
            order = signal.Signals(number)
            if self._order is not None:
                self._end_at_once(order)
            self._order = order
            for process in self._all:
                if process.line is not None:
                    _send(process.line, _ORDERS[order])

    def _end_at_once(self, order: signal.Signals) -> None:
        for process in self._all:
            if process.line is not None:
                os.kill(process.pid, signal.SIGKILL)
        os._exit(128 + order)

    def _hear(self, process: _Process) -> None:
        assert process.line is not None
        try:
            said = process.line.recv(64)
        except ConnectionError:
            said = b""
        if said:
            self._serving.add(process.number)
            if len(self._serving) == self.number and not self._was_told and not self._order:
                self._was_told = True
                self.on_serving()
        else:
            self._bury(process)

    def _bury(self, process: _Process) -> None:
        assert process.line is not None
        process.line.close()
        process.line = None
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        if self._order is not None:
            if code:
                self._failed.append(code)
            return
        now = time.monotonic()
        if now - process.started_at >= _STEADY_SEC:
            process.pause = _FIRST_PAUSE_SEC
        process.due = now + process.pause
        logs.process_ended(process.pid, code, process.pause)
        process.pause = min(process.pause * 2, _LONGEST_PAUSE_SEC)


def _send(line: socket.socket, order: bytes) -> None:
    with suppress(ConnectionError):  # it has just ended, which will be heard
        line.sendall(order)


def _be(serve: Serve, number: int, line: socket.socket) -> NoReturn:
    """Serve, as a process that was just forked, and end."""
    code = 1
    try:
        with line:
            serve(number, line)
        code = 0
    except BaseException as error:
        logs.process_failed(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the program does at its end is not for us


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Where the numbers of the signals can be read that come within the block."""
    came, tell = socket.socketpair()
    tell.setblocking(False)
    wakes_before = signal.set_wakeup_fd(tell.fileno())
    before = [(order, signal.signal(order, _leave_it)) for order in _ORDERS]
    try:
        yield came
    finally:
        for order, handler in before:
            signal.signal(order, handler)
        signal.set_wakeup_fd(wakes_before)
        came.close()
        tell.close()


def _leave_it(_: int, __: FrameType | None) -> None:
    """For Python to write down that the signal came."""


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for order in _ORDERS:
        signal.signal(order, signal.SIG_DFL)


@contextmanager
def _held_back() -> Iterator[None]:
    """Signals come when the block ends: a child must not write down what is for the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
