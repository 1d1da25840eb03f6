"""The forms in which events are exported: JSON lines, CSV, Parquet."""

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import IO, Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Column, Row, Text

from session_router.csv_cells import text_cell
from session_router.database import csv_copy
from session_router.database.schema import build_tables
from session_router.database.types import UtcDateTime, UuidText

COLUMNS: Final = tuple(build_tables(None).session_events.columns.keys())
CSV_END: Final = r"\r"
"""What a line of CSV has before its line feed, as SQL has it."""

_WORDS: Final = ("event", "outcome")
"""Text of a closed vocabulary, which no spreadsheet obeys."""


class Format(StrEnum):
    """How events are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Writer(Protocol):
    """Writes events to a binary file, a page at a time."""

    def write(self, events: Sequence[Row[Any]]) -> None: ...

    def close(self) -> None:
        """Write what belongs behind the last event; the file stays open."""


class JsonLines:
    """A JSON document a line, in ASCII."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, events: Sequence[Row[Any]]) -> None:
        lines = [
            json.dumps(dict(zip(COLUMNS, map(_plain, event), strict=True))) for event in events
        ]
        self._file.write(("\n".join(lines) + "\n").encode())

    def close(self) -> None: ...


class Csv:
    """CSV as RFC 4180 has it: UTF-8, a header, text in quotes; a null is an empty cell without.

    Text is such that no spreadsheet takes it for a formula; see `text_cell`.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._write_row(COLUMNS)

    def write(self, events: Sequence[Row[Any]]) -> None:
        for event in events:
            self._write_row(map(_cell, event))

    def close(self) -> None: ...

    def _write_row(self, cells: Any) -> None:
        self._file.write((",".join(cells) + "\r\n").encode())


class Parquet:
    """Parquet with typed columns, a row group a page. Needs the extra `parquet`."""

    def __init__(self, file: IO[bytes]) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet

        time, number, text = pa.timestamp("us", tz="UTC"), pa.int64(), pa.string()
        types = {"event_id": number, "occurred_at": time, "started_at": time, "erased": pa.bool_()}
        self._schema = pa.schema([(name, types.get(name, text)) for name in COLUMNS])
        self._arrays = pa.Table.from_pydict
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, events: Sequence[Row[Any]]) -> None:
        columns = {
            name: [str(value) if isinstance(value, UUID) else value for value in column]
            for name, column in zip(COLUMNS, zip(*events, strict=True), strict=True)
        }
        self._writer.write_table(self._arrays(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def csv_cells_in_sql() -> list[str]:
    """The cells of a line as PostgreSQL makes them, the same as `Csv` writes."""
    return [_cell_in_sql(column) for column in build_tables(None).session_events.columns]


def _cell_in_sql(column: Column[Any]) -> str:
    if isinstance(column.type, UtcDateTime):
        return csv_copy.quoted(
            f"""to_char({column.name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        )
    if isinstance(column.type, UuidText) or column.name in _WORDS:
        return csv_copy.quoted(column.name)
    if isinstance(column.type, Text):
        return csv_copy.text_cell(column.name)
    return csv_copy.plain(column.name)


WRITERS: Final[dict[Format, Any]] = {
    Format.JSONL: JsonLines,
    Format.CSV: Csv,
    Format.PARQUET: Parquet,
}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


def _cell(value: Any) -> str:
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return text_cell(value) if isinstance(value, str) else str(value)
