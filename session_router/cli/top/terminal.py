"""The terminal, taken for as long as the picture is on it, and given back as it was."""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from session_router.cli.top.picture import Line, Style

# A screen of its own, no cursor, and no wrapping: what a terminal takes to be wider than we do
# is cut, rather than pushing all else down.
_TAKE: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_GIVE_BACK: Final = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_STYLES: Final = {
    Style.PLAIN: "",
    Style.HEADING: "\x1b[1m",
    Style.CHOSEN: "\x1b[7m",
    Style.ALARM: "\x1b[1;31m",
}
_KEY: Final = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_NAMES: Final = {
    "\x1b[A": "up", "\x1bOA": "up", "\x1b[B": "down", "\x1bOB": "down",
    "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b[H": "home", "\x1bOH": "home",
    "\x1b[1~": "home", "\x1b[F": "end", "\x1bOF": "end", "\x1b[4~": "end",
    "\x1b": "escape", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace",
    "\x03": "leave", "\x04": "leave",
}  # fmt: skip
_MOST_BYTES: Final = 4_096


class TerminalGoneError(Exception):
    """The terminal was closed."""


class Terminal:
    """Draws, and reads keys, while it is taken; see `taken`."""

    def __init__(self) -> None:
        self.keyboard = sys.stdin.fileno()

    def size(self) -> tuple[int, int]:
        """How many columns and lines it has now."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return columns or 80, lines or 24

    def draw(self, lines: Sequence[Line]) -> None:
        """Put the picture in the place of the last one."""
        # A line is cleared before it is written: behind a full one that would take its last cell.
        rows = (f"\x1b[2K{_STYLES[line.style]}{line.text}\x1b[0m" for line in lines)
        _write("\x1b[H" + "\n".join(rows))

    def keys(self) -> list[str]:
        """Those that were pressed, by their names or as the characters that they are.

        Raises:
            TerminalGoneError: there will be none any more.
        """
        try:
            read = os.read(self.keyboard, _MOST_BYTES)
        except OSError:
            read = b""
        if not read:
            raise TerminalGoneError
        pressed = _KEY.findall(read.decode("utf-8", "replace"))
        return [_NAMES.get(key, key) for key in pressed]


@contextmanager
def taken() -> Iterator[Terminal]:
    """Take the terminal; it is given back however the block ends."""
    terminal = Terminal()
    before = termios.tcgetattr(terminal.keyboard)
    mode = termios.tcgetattr(terminal.keyboard)
    # Keys come at once and unseen; Ctrl-C, Ctrl-Z and Ctrl-\ are keys, too, since a process that is
    # stopped or killed by them would leave the terminal as it is.
    mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    try:
        termios.tcsetattr(terminal.keyboard, termios.TCSADRAIN, mode)
        _write(_TAKE)
        yield terminal
    finally:
        termios.tcsetattr(terminal.keyboard, termios.TCSAFLUSH, before)
        _write(_GIVE_BACK)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
