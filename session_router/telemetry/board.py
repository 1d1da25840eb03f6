"""Where processes of one program that serve the same port show each other what they count."""

import mmap
import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final

_HEAD: Final = Struct("=QII")
_HALF: Final = 1 << 19
"""Bytes for what a process shows, ten times what it can come to; the rest takes no memory."""


class Board:
    """Memory that is shared with the processes that are forked off after it was made.

    It is gone with the last of them, however they end. What a process that ended has shown stays,
    for the one that takes its place to go on from. Each place has two halves, written in turn, so
    that there is always one to be read, also while the other is written, or was when its process
    was killed.

    Args:
        places: how many processes there are; each writes in one place.
    """

    def __init__(self, places: int) -> None:
        self._memory = mmap.mmap(-1, places * 2 * _HALF)
        self._places = places

    def show(self, place: int, content: bytes) -> None:
        """Show something in a place, instead of what was there."""
        assert len(content) <= _HALF - _HEAD.size, len(content)
        version = 1 + max(self._version(place, half) for half in (0, 1))
        begin = self._begin(place, version % 2)
        self._memory[begin + _HEAD.size : begin + _HEAD.size + len(content)] = content
        _HEAD.pack_into(self._memory, begin, version, len(content), zlib.crc32(content))

    def read(self, place: int) -> bytes | None:
        """What is shown in a place; None: nothing was yet."""
        newest_first = sorted((0, 1), key=lambda half: self._version(place, half), reverse=True)
        contents = (self._content(place, half) for half in newest_first)
        return next((content for content in contents if content is not None), None)

    def read_all(self) -> list[bytes]:
        """What is shown in all places."""
        contents = map(self.read, range(self._places))
        return [content for content in contents if content is not None]

    def _content(self, place: int, half: int) -> bytes | None:
        """What is in a half; None: nothing, or it is not whole."""
        begin = self._begin(place, half)
        version, length, checksum = _HEAD.unpack_from(self._memory, begin)
        content = self._memory[begin + _HEAD.size : begin + _HEAD.size + length]
        return content if version and zlib.crc32(content) == checksum else None

    def _version(self, place: int, half: int) -> int:
        """How often something was shown in the place until then; 0: not whole, or nothing."""
        if self._content(place, half) is None:
            return 0
        version, _, _ = _HEAD.unpack_from(self._memory, self._begin(place, half))
        return int(version)

    def _begin(self, place: int, half: int) -> int:
        return (2 * place + half) * _HALF


@dataclass(frozen=True, slots=True)
class Place:
    """One process's place on a board.

    Attributes:
        number: from 0 on.
    """

    board: Board
    number: int

    def show(self, content: bytes) -> None:
        """Show something, instead of what was there."""
        self.board.show(self.number, content)

    def read(self) -> bytes | None:
        """What was shown here last, be it by the process that had this place before."""
        return self.board.read(self.number)
