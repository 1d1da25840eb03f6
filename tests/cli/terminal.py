"""The program at a terminal of its own, whose keys a test presses."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.cli.program import Program
from tests.support.waiting import eventually

GIVEN_BACK = b"\x1b[?25h\x1b[?1049l"
"""What the terminal is told in the end: to show its cursor, and what was there before."""

_WITHIN_SEC = 60.0


class TerminalProgram:
    """`python -m session_router ...` whose standard streams are a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], leader: int, follower: int) -> None:
        self._process = process
        self._leader = leader
        self._follower = follower
        self.written = b""

    @classmethod
    @contextmanager
    def started(
        cls,
        program: Program,
        *arguments: str,
        columns: int = 100,
        lines: int = 30,
        script: str = "",
    ) -> Iterator[Self]:
        """The program with these arguments, or a script that calls it; killed in the end."""
        leader, follower = pty.openpty()
        _resize(follower, columns, lines)
        call = ["-c", script] if script else ["-m", "session_router"]
        env = {**os.environ, "TERM": "xterm"}
        env.pop("COLUMNS", None)
        env.pop("LINES", None)
        process = subprocess.Popen(
            [sys.executable, *call, *arguments],
            cwd=program.folder,
            env=env,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.set_blocking(leader, False)
        try:
            yield cls(process, leader, follower)
        finally:
            process.kill()
            process.wait()
            os.close(leader)
            os.close(follower)

    @property
    def mode(self) -> list[Any]:
        """How the terminal is set."""
        return termios.tcgetattr(self._follower)

    def resize(self, columns: int, lines: int) -> None:
        _resize(self._follower, columns, lines)
        self.send(signal.SIGWINCH)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def press(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    async def sees(self, *texts: str) -> list[str]:
        """Wait for a picture that has all of these in it; returns its lines."""

        def seen() -> list[str] | None:
            lines = self._picture()
            return lines if all(text in "\n".join(lines) for text in texts) else None

        found: list[str] | None = await eventually(seen, _WITHIN_SEC)
        assert found is not None
        return found

    async def ends(self) -> int:
        """Wait for its end; returns its exit code."""
        await eventually(lambda: self._read() is not None and self._process.poll() is not None, 60)
        self._read()
        return self._process.returncode

    def _read(self) -> bytes:
        try:
            while piece := os.read(self._leader, 65_536):
                self.written += piece
        except BlockingIOError:
            pass
        return self.written

    def _picture(self) -> list[str]:
        """The last picture that is whole, without its styles."""
        pictures = self._read().decode(errors="replace").split("\x1b[H")
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", pictures[-1])
        return text.split("\r\n")


def _resize(terminal: int, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
