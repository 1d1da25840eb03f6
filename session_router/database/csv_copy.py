"""Lines of CSV that PostgreSQL makes itself and hands out by COPY, in the spelling of `csv_cells`.

A line is one text, made of cells here; COPY's own quotes around it are a character that no cell
contains, and are taken out of what comes. So a line may end as it wants to, and costs the program
next to nothing: a twentieth of what it takes to make values of rows and text of these.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, literal_column
from sqlalchemy.ext.asyncio import AsyncConnection

from session_router.database.copy_out import copy_out

# No control characters are in a cell but tabs and ends of lines.
_QUOTE, _DELIMITER = "\x01", "\x02"

# What Python's `\s` means, in any locale.
_BLANKS: Final = r"\t-\r\x1c-\x20\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_FORMULA: Final = rf"[{_BLANKS}]*[=+@\uff1d\uff0b\uff0d\uff20-]"
_CONTROL: Final = r"[\x01-\x08\x0b-\x1f\u007f-\u009f]"
_GUARDED: Final = rf"^(?:{_FORMULA}|[''\t\r\n])|{_CONTROL}"
_ESCAPED: Final = r"[\x01-\x1f\u007f-\u009f]"

# What most texts are: found out in a third of the time, and nothing in them has to be looked for.
_HARMLESS: Final = r"^[A-Za-z0-9_][A-Za-z0-9_ ./:@=+-]*$"


def text_cell(text: str) -> str:
    """The SQL of a text's cell, as `csv_cells.text_cell` has it; of none, an empty one."""
    escaped = rf"""'''' || (
        SELECT string_agg(CASE WHEN c = '\' THEN '\\'
            WHEN c ~ '{_ESCAPED}' THEN '\x' || lpad(to_hex(ascii(c)), 2, '0') ELSE c END,
            '' ORDER BY n)
        FROM regexp_split_to_table({text}, '') WITH ORDINALITY AS characters (c, n))"""  # noqa: S608 - columns of ours
    safe = f"CASE WHEN {text} ~ '{_GUARDED}' THEN {escaped} ELSE {text} END"
    guarded = f"""coalesce('"' || replace({safe}, '"', '""') || '"', '')"""
    return f"""CASE WHEN {text} ~ '{_HARMLESS}' THEN '"' || {text} || '"' ELSE {guarded} END"""


def quoted(text: str) -> str:
    """The SQL of the cell of what needs no guard; of none, an empty one."""
    return f"""coalesce('"' || {text} || '"', '')"""


def plain(text: str) -> str:
    """The SQL of a cell without quotes; of none, an empty one."""
    return f"coalesce(CAST({text} AS text), '')"


def line(cells: Sequence[str], end: str = "") -> ColumnElement[Any]:
    """The SQL of a line of these cells; it ends with `end` and a line feed."""
    joined = " || ',' || ".join(cells)
    return literal_column(f"{joined} || E'{end}'" if end else joined)


async def is_possible(conn: AsyncConnection) -> bool:
    """Whether the database has the characters that cells are searched for."""
    if conn.dialect.name != "postgresql":
        return False
    encoding = await conn.exec_driver_sql("SELECT current_setting('server_encoding')")
    return str(encoding.scalar_one()) == "UTF8"


async def copy(
    conn: AsyncConnection, lines: Select[Any], write: Callable[[bytes], Awaitable[None]]
) -> int:
    """Hand the lines of a select of one `line` to `write`, in UTF-8; returns how many they were."""

    async def without_quotes(chunk: bytes) -> None:
        await write(chunk.translate(None, _QUOTE.encode()))

    return await copy_out(
        conn,
        lines,
        without_quotes,
        format="csv",
        delimiter=_DELIMITER,
        quote=_QUOTE,
        escape=_QUOTE,
        force_quote=True,
    )
