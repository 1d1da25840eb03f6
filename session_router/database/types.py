"""Column types and SQL functions that mean the same on PostgreSQL and SQLite."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Date,
    Dialect,
    Double,
    Integer,
    Text,
    bindparam,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from session_router.checks import as_utc
from session_router.errors import UnreadableRowError


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes: timestamptz, or on SQLite text of fixed width that sorts as time."""

    impl = postgresql.TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.isoformat(sep=" ", timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return as_utc(value if isinstance(value, datetime) else _time_in(value))


class UtcDay(TypeDecorator[date]):
    """Days of UTC: date, or on SQLite text such as 2026-01-31."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Date())

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name != "sqlite" else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        return date.fromisoformat(value) if isinstance(value, str) else value


class UuidText(TypeDecorator[UUID]):
    """UUIDs: uuid, or on SQLite the 36 characters that people read and paste."""

    impl = postgresql.UUID
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(postgresql.UUID(as_uuid=True))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | str | None:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        return value if value is None or isinstance(value, UUID) else _uuid_in(value)


# SQLite keeps any text, and any bytes, in any column.


def _time_in(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _unreadable(value, "time") from None


def _uuid_in(value: Any) -> UUID:
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        raise _unreadable(value, "UUID") from None


def _unreadable(value: object, what: str) -> UnreadableRowError:
    return UnreadableRowError(
        f"a row of the database has {value!a} where a {what} belongs; mend the row, or delete it."
    )


class _Values(TypeDecorator[Sequence[Any]]):
    """Many values in one parameter, so that the SQL text does not vary with their number."""

    impl = Text
    cache_ok = True

    def __init__(self, of: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(postgresql.ARRAY(self.of()))

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return json.dumps([item if isinstance(item, str | int) else str(item) for item in value])


class one_of(FunctionElement[bool]):  # noqa: N801 - reads as the SQL operator it stands for
    """`column = ANY(values)`: one SQL text whatever the number of values."""

    # Were it Boolean, SQLite would be asked `... = 1`, which keeps it from using an index.
    type: TypeEngine[Any] = NullType()
    inherit_cache = True
    name = "one_of"

    def __init__(self, column: ColumnElement[Any], values: Sequence[Any]) -> None:
        item: type[TypeEngine[Any]] = Text
        if isinstance(column.type, UuidText):
            item = postgresql.UUID
        elif isinstance(column.type, Integer):
            item = BigInteger
        super().__init__(column, bindparam(None, list(values), type_=_Values(item), unique=True))


@compiles(one_of, "postgresql")
def _one_of_on_postgresql(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(one_of, "sqlite")
def _one_of_on_sqlite(element: one_of, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - compiled SQL


class all_pairs(FunctionElement[list[list[str]] | None]):  # noqa: N801 - an SQL function
    """All rows' values of two columns, as one list; none at all may be NULL."""

    type = JSON()
    inherit_cache = True
    name = "all_pairs"


@compiles(all_pairs, "postgresql")
def _all_pairs_on_postgresql(element: all_pairs, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_agg(json_build_array({compiler.process(element.clauses, **kw)}))"


@compiles(all_pairs, "sqlite")
def _all_pairs_on_sqlite(element: all_pairs, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **kw)}))"


class clock(FunctionElement[datetime]):  # noqa: N801 - an SQL function
    """The database's time at this very moment, not at the transaction's start."""

    type = UtcDateTime()
    inherit_cache = True
    name = "clock"


@compiles(clock, "postgresql")
def _clock_on_postgresql(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    # In full: a search_path may have a function of that name in front of it.
    return "pg_catalog.clock_timestamp()"


@compiles(clock, "sqlite")
def _clock_on_sqlite(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    # %f has milliseconds; three zeros make the width of the six digits that Python writes.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class later_of(FunctionElement[datetime]):  # noqa: N801 - an SQL function
    """The later of two times."""

    type = UtcDateTime()
    inherit_cache = True
    name = "later_of"


@compiles(later_of, "postgresql")
def _later_on_postgresql(element: later_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"greatest({compiler.process(element.clauses, **kw)})"


@compiles(later_of, "sqlite")
def _later_on_sqlite(element: later_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"max({compiler.process(element.clauses, **kw)})"


class expiry(FunctionElement[datetime]):  # noqa: N801 - an SQL function
    """When a session expires: its last touch, and its own timeout in minutes later.

    Without a time zone on PostgreSQL, where an index can be made of that only.
    """

    type = UtcDateTime()
    inherit_cache = True
    name = "expiry"


@compiles(expiry, "postgresql")
def _expiry_on_postgresql(element: expiry, compiler: SQLCompiler, **kw: Any) -> str:
    updated, minutes = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(({updated} AT TIME ZONE 'UTC') + {minutes} * interval '1 minute')"


@compiles(expiry, "sqlite")
def _expiry_on_sqlite(element: expiry, compiler: SQLCompiler, **kw: Any) -> str:
    updated, minutes = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strftime('%Y-%m-%d %H:%M:%f000', {updated}, {minutes} || ' minutes')"


class seconds_between(FunctionElement[float]):  # noqa: N801 - an SQL function
    """How many seconds passed from one time to another."""

    type = Double()
    inherit_cache = True
    name = "seconds_between"


@compiles(seconds_between, "postgresql")
def _seconds_on_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    # A third of the time of `extract`, which computes in decimals.
    return f"pg_catalog.date_part('epoch', {end} - {start})"


@compiles(seconds_between, "sqlite")
def _seconds_on_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    # Whole seconds and microseconds each by themselves: SQLite's own dates end at milliseconds.
    whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
    return f"({whole} + (substr({end}, 21) - substr({start}, 21)) / 1000000.0)"


class uuid_text(FunctionElement[str]):  # noqa: N801 - an SQL function
    """A UUID as people read it, spared the way through Python's own."""

    type = Text()
    inherit_cache = True
    name = "uuid_text"


@compiles(uuid_text, "postgresql")
def _uuid_text_on_postgresql(element: uuid_text, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS text)"


@compiles(uuid_text, "sqlite")
def _uuid_text_on_sqlite(element: uuid_text, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


class iso_text(FunctionElement[str]):  # noqa: N801 - an SQL function
    """A time in ISO 8601, as Python writes it with microseconds, in UTC."""

    type = Text()
    inherit_cache = True
    name = "iso_text"


@compiles(iso_text, "postgresql")
def _iso_text_on_postgresql(element: iso_text, compiler: SQLCompiler, **kw: Any) -> str:
    time = compiler.process(element.clauses, **kw)
    form = 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'
    return f"pg_catalog.to_char({time} AT TIME ZONE 'UTC', '{form}')"


@compiles(iso_text, "sqlite")
def _iso_text_on_sqlite(element: iso_text, compiler: SQLCompiler, **kw: Any) -> str:
    return f"replace({compiler.process(element.clauses, **kw)}, ' ', 'T') || '+00:00'"
