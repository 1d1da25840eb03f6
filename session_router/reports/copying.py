"""The cells of a report's row as PostgreSQL makes them: what the program would print of it."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import ColumnElement

from session_router.database import csv_copy
from session_router.reports.catalogue import Report


def line_of(report: Report) -> ColumnElement[Any]:
    """The SQL of a line of CSV with all columns of a report's view."""
    fields = report.row.model_fields.items()
    return csv_copy.line([_cell(name, field.annotation) for name, field in fields])


def _cell(name: str, annotation: Any) -> str:
    kinds = get_args(annotation) or (annotation,)
    return next(cell(name) for kind, cell in _CELLS.items() if kind in kinds)


def _time(name: str) -> str:
    utc = f"{name} AT TIME ZONE 'UTC'"
    is_whole = f"date_trunc('second', {name}) = {name}"

    def written(form: str) -> str:
        return f"to_char({utc}, '{form}')"

    whole, exact = (f'YYYY-MM-DD"T"HH24:MI:SS{rest}' for rest in ('"Z"', '.US"Z"'))
    return csv_copy.plain(f"CASE WHEN {is_whole} THEN {written(whole)} ELSE {written(exact)} END")


def _day(name: str) -> str:
    return csv_copy.plain(f"to_char({name}, 'YYYY-MM-DD')")


def _number(name: str) -> str:
    """As Python writes it, with a fraction in any case."""
    return csv_copy.plain(f"{name}::text || CASE WHEN {name} = trunc({name}) THEN '.0' ELSE '' END")


_CELLS: Final[dict[type, Callable[[str], str]]] = {
    str: csv_copy.text_cell,
    datetime: _time,
    date: _day,
    UUID: csv_copy.plain,
    float: _number,
    int: csv_copy.plain,
}
