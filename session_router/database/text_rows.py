"""Rows as lines of text: the same on PostgreSQL and SQLite, and cheap.

A line is what PostgreSQL's COPY writes in its text format, with times in UTC: values apart by tabs,
`\\N` for none, `t` and `f`, and backslashes before what would end a value or a line.
"""

import re
from typing import Any, Final

from sqlalchemy import Boolean, Column, ColumnElement, Select, Text, case, cast, func, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.copy_out import copy_out
from session_router.database.types import UtcDateTime

_ESCAPES: Final = str.maketrans(
    {"\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
)
_CHARACTERS: Final = {text: chr(code) for code, text in _ESCAPES.items()}
_ESCAPE: Final = re.compile(r"\\[\\bfnrtv]")
_NONE: Final = r"\N"
_READ: Final = 2_000
"""How many rows of SQLite's are taken in at a time: meanwhile nothing else goes on."""


def as_stored(column: Column[Any], dialect: str) -> ColumnElement[Any]:
    """A column for `text_lines`: on SQLite as the text that is stored, whatever that is."""
    if dialect == "postgresql":
        return column
    is_time = isinstance(column.type, UtcDateTime)
    text: ColumnElement[Any] = cast(column, Text)
    if isinstance(column.type, Boolean):
        text = case((text == "1", "t"), (text == "0", "f"), else_=text)
    # Bytes in the place of a text are another value, though they may read the same.
    stored = case((func.typeof(column) == "blob", type_coerce(column, Text)), else_=text)
    return type_coerce(stored, _StoredTime() if is_time else Text())


class _StoredTime(Text):
    """Marks a time as SQLite stores it."""


async def text_lines(conn: AsyncConnection, statement: Select[Any]) -> list[bytes]:
    """What a statement of columns `as_stored` selects, each row a line without its end, in UTF-8.

    Args:
        conn: in a transaction, whose settings are changed on PostgreSQL.
    """
    if conn.dialect.name == "postgresql":
        return await _copied(conn, statement)
    is_time = [isinstance(column.type, _StoredTime) for column in statement.selected_columns]
    lines = []
    found = await conn.execute(statement)
    while rows := found.fetchmany(_READ):
        for row in rows:
            cells = [
                _utc(value) if time else _cell(value)
                for value, time in zip(row, is_time, strict=True)
            ]
            lines.append("\t".join(cells).encode("utf-8", "surrogateescape"))
    return lines


async def _copied(conn: AsyncConnection, statement: Select[Any]) -> list[bytes]:
    await conn.exec_driver_sql("SET LOCAL timezone = 'UTC'")
    await conn.exec_driver_sql("SET LOCAL datestyle = 'ISO'")
    chunks: list[bytes] = []

    async def keep(chunk: bytes) -> None:
        chunks.append(chunk)

    await copy_out(conn, statement, keep, format="text")
    return b"".join(chunks).split(b"\n")[:-1]


def write_cell(value: str | bytes | None) -> bytes:
    """A value in a line."""
    return _cell(value).encode("utf-8", "surrogateescape")


def read_cell(cell: bytes) -> str | None:
    """A value of a line."""
    text = cell.decode("utf-8", "surrogateescape")
    return None if text == _NONE else _ESCAPE.sub(lambda found: _CHARACTERS[found[0]], text)


def _cell(value: str | bytes | None) -> str:
    if value is None:
        return _NONE
    return rf"\x{value.hex()}" if isinstance(value, bytes) else value.translate(_ESCAPES)


def _utc(value: str | bytes | None) -> str:
    """A stored time as PostgreSQL writes one: without the zeros at its end, with its zone."""
    if not isinstance(value, str):
        return _cell(value)
    return _cell(f"{value.rstrip('0').rstrip('.') if '.' in value else value}+00")
