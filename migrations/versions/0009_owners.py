"""Owners and timeouts of sessions, workers that are entered over HTTP, and repeated requests.

Columns that may be empty, each added in a moment, and a table; indexes are built while everybody
goes on. Code of the release before calls the functions that it called: what it starts has no owner,
and no timeout of its own; its sweep passes over those that have one.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import (
    Definition,
    owners_0009,
    reports_0005,
    reports_0009,
)
from session_router.database.migration.online import (
    add_column,
    create_index,
    drop_column,
    drop_index,
    replace_primary_key,
)
from session_router.database.types import UtcDateTime, UuidText, expiry

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest_code = "0001"

SESSIONS, EVENTS, EARLY_STOPS = "sessions", "session_events", "early_stops"
IDLE_BEFORE = "sessions_last_updated_session_id_idx"
OWNED = "event = 'session_started' AND detail IS NOT NULL"


def upgrade() -> None:
    for table, column in columns():
        add_column(table, column)
    for name, table, indexed, where in indexes():
        given = sa.text(where)
        create_index(name, table, indexed, postgresql_where=given, sqlite_where=given)
    drop_index(IDLE_BEFORE, SESSIONS)
    replace_primary_key(early_stops("stream_id", "owner"))
    op.create_table(
        "idempotent_requests",
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("busy_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("request_id", name="idempotent_requests_pkey"),
        schema=op.get_context().version_table_schema,
    )
    put_in_place(reports_0009.reports(*here()))
    if not is_sqlite():
        schema = str(op.get_context().version_table_schema)
        put_in_place([owners_0009.sweep(schema)])
        for made in owners_0009.functions(schema):
            execute(made.create)


def downgrade() -> None:
    """Owners are lost, and timeouts; the workers' own holds for all. Requests may be done again.

    Stops of owners' that came before their streams would be anybody's, and are lost, too.
    """
    stops = sa.table(EARLY_STOPS, sa.column("owner"), schema=here()[1])
    op.execute(sa.delete(stops).where(stops.c.owner != sa.literal_column("''")))
    replace_primary_key(early_stops("stream_id"))
    create_index(IDLE_BEFORE, SESSIONS, ["last_updated", "session_id"])
    for name, table, _, _ in indexes():
        drop_index(name, table)
    for made in reversed(reports_0009.reports(*here())):
        op.execute(made.drop)
    for made in reports_0005.reports(*here()):
        execute(made.create)
    if not is_sqlite():
        schema = str(op.get_context().version_table_schema)
        for made in reversed(owners_0009.functions(schema)):
            op.execute(made.drop)
        put_in_place([owners_0009.sweep_before(schema)])
    for table, column in reversed(columns()):
        drop_column(table, column.name)
    op.drop_table(
        "idempotent_requests", schema=op.get_context().version_table_schema, if_exists=True
    )


def columns() -> list[tuple[str, sa.Column[object]]]:
    return [
        (EARLY_STOPS, sa.Column("owner", key_text(), nullable=False, server_default="")),
        ("workers", sa.Column("key_id", key_text())),
        (SESSIONS, sa.Column("owner", key_text())),
        (SESSIONS, sa.Column("timeout_minutes", sa.Double())),
    ]


def early_stops(*key: str) -> sa.Table:
    """The table, with this primary key."""
    return sa.Table(
        EARLY_STOPS,
        sa.MetaData(),
        sa.Column("stream_id", UuidText(), nullable=False),
        sa.Column("session_id", key_text(), nullable=False),
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("owner", key_text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint(*key, name="early_stops_pkey"),
        sa.Index("early_stops_requested_at_idx", "requested_at"),
    )


def key_text() -> sa.Text:
    return sa.Text() if is_sqlite() else sa.Text(collation="C")


def indexes() -> list[tuple[str, str, list[str | sa.ColumnElement[Any]], str]]:
    """Their names, tables and columns, and which rows they are of."""
    updated: sa.ColumnElement[Any] = sa.column("last_updated")
    minutes: sa.ColumnElement[Any] = sa.column("timeout_minutes")
    with_own, without = "timeout_minutes IS NOT NULL", "timeout_minutes IS NULL"
    return [
        ("sessions_idle_idx", SESSIONS, ["last_updated", "session_id"], without),
        ("sessions_idle_with_own_timeouts_idx", SESSIONS, ["last_updated"], with_own),
        ("sessions_own_timeouts_idx", SESSIONS, [expiry(updated, minutes), "session_id"], with_own),
        ("sessions_owners_idx", SESSIONS, ["owner", "session_id"], "owner IS NOT NULL"),
        ("session_events_owned_sessions_idx", EVENTS, ["session_uid", "detail"], OWNED),
    ]


def put_in_place(definitions: Iterable[Definition]) -> None:
    """SQLite replaces nothing, and has no grants that a drop would lose."""
    for made in definitions:
        if is_sqlite():
            op.execute(made.drop)
        execute(made.create if is_sqlite() else made.replace)


def execute(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", "\\:")))


def here() -> tuple[str, str | None]:
    context = op.get_context()
    return context.dialect.name, context.version_table_schema


def is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
