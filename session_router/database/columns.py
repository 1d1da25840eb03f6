"""Columns, checks and indexes of which the tables are made."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

from session_router.database.types import UtcDateTime, UuidText, clock
from session_router.events import EventName, KeyEvent, SignalAction, WorkerEnding


def key_text() -> TypeEngine[str]:
    """Text whose order is that of its code points, in every database and in Python.

    Locks are taken in key order, so the order must not depend on a server's locale.
    """
    return Text(collation="C").with_variant(Text(), "sqlite")


def time_column(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UtcDateTime(), nullable=nullable)


def uuid_column(name: str, *, nullable: bool = False, primary_key: bool = False) -> Column[object]:
    return Column(name, UuidText(), nullable=nullable, primary_key=primary_key)


def text_in(
    column: str, values: type[EventName | KeyEvent | SignalAction | WorkerEnding]
) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def numbered(name: str) -> Column[int]:
    """A primary key that the database counts."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Column(name, number, Identity(), primary_key=True)


def numbered_event() -> list[Column[Any]]:
    """The database's own number and time of an event."""
    return [
        numbered("event_id"),
        Column("occurred_at", UtcDateTime(), nullable=False, server_default=clock()),
    ]


def number_column(name: str, *, primary_key: bool = False) -> Column[int]:
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Column(name, number, primary_key=primary_key, nullable=False, autoincrement=False)


def index_of(
    name: str, these: str, *columns: str | ColumnElement[Any], unique: bool = False
) -> Index:
    """An index of those rows only that a condition holds for."""
    where = text(these)
    return Index(name, *columns, unique=unique, postgresql_where=where, sqlite_where=where)
