"""Rows in columns that fit a width: names lose their middles first, then columns are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

_BETWEEN: Final = "  "
_LEAST: Final = 8


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: its heading.
        cells: what is in it, escaped.
        least: how many cells of the terminal it may be narrowed to; None: it is not narrowed.
        rank: where there is no room, columns of a higher one are narrowed first, and left out
            first; those of 0 never are left out.
        is_number: whether it is set at the right.
    """

    title: str
    cells: Sequence[str]
    least: int | None = None
    rank: int = 0
    is_number: bool = False

    @property
    def width(self) -> int:
        """What it takes whole."""
        return max(map(cell_len, (self.title, *self.cells)))


def name_column(title: str, cells: Sequence[str], rank: int = 0) -> Column:
    """A column of names, which may be shortened."""
    return Column(title, cells, _LEAST, rank)


def lines_of(columns: Iterable[Column], width: int | None) -> list[str]:
    """The heading and the rows; columns without anything in them are left out.

    Args:
        columns: all with as many cells.
        width: of the terminal, in cells; None: as wide as need be.
    """
    shown = [column for column in columns if any(column.cells)]
    while width is not None and _least(shown) > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    widths = _narrowed(shown, width)
    rows = zip(*((column.title, *column.cells) for column in shown), strict=True)
    lines = (
        _BETWEEN.join(
            fitted(cell, of, is_number=column.is_number)
            for cell, of, column in zip(row, widths, shown, strict=True)
        ).rstrip()
        for row in rows
    )
    return [line if width is None else cut(line, width) for line in lines]


def _least(columns: Sequence[Column]) -> int:
    wanted = (min(column.width, column.least or column.width) for column in columns)
    return sum(wanted) + _gaps(columns)


def _gaps(columns: Sequence[Column]) -> int:
    return len(_BETWEEN) * (len(columns) - 1)


def _narrowed(columns: Sequence[Column], width: int | None) -> list[int]:
    """The columns' widths: one of the highest rank is narrowed, the widest, until all have room."""
    widths = [column.width for column in columns]
    while width is not None and sum(widths) + _gaps(columns) > width:
        wide = [
            at for at, column in enumerate(columns) if column.least and widths[at] > column.least
        ]
        if not wide:
            break
        widths[max(wide, key=lambda at: (columns[at].rank, widths[at]))] -= 1
    return widths


def fitted(text: str, width: int, *, is_number: bool = False) -> str:
    """Text in exactly so many cells. What is too long loses its middle: ids differ at the end."""
    blanks = " " * (width - cell_len(text))
    if cell_len(text) <= width:
        return blanks + text if is_number else text + blanks
    half = (width - 1) // 2
    end = _first(text[::-1], half)[::-1]
    beginning = _first(text, width - 1 - cell_len(end))
    return fitted(f"{beginning}…{end}", width) if width > 0 else ""


def cut(text: str, width: int) -> str:
    """A line that is no wider than that."""
    return text if cell_len(text) <= width else f"{_first(text, max(width - 1, 0))}…"[:width]


def _first(text: str, width: int) -> str:
    """As many characters as have room in so many cells."""
    room = width
    for at, character in enumerate(text):
        room -= cell_len(character)
        if room < 0:
            return text[:at]
    return text
