"""Stops that come before their streams, stops of many; a stream's name begins once.

No table in use is locked: two indexes are built while everybody goes on. Code of the release before
calls the functions that it called.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.stops_0007 import made_by_0007
from session_router.database.migration.online import create_index, drop_index
from session_router.database.types import UtcDateTime, UuidText

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest_code = "0001"

EVENTS = "session_events"
STARTED = "event = 'stream_started'"
ASKED = "event IN ('interrupt_requested', 'signal_settled')"


def upgrade() -> None:
    where = sa.text(STARTED)
    create_index(
        *("session_events_started_streams_idx", EVENTS, ["stream_id"]),
        unique=True,
        postgresql_where=where,
        sqlite_where=where,
    )
    where = sa.text(ASKED)
    create_index(
        *("session_events_requests_idx", EVENTS, ["request_id"]),
        postgresql_where=where,
        sqlite_where=where,
    )
    create_index("interrupt_signals_request_id_idx", "interrupt_signals", ["request_id"])
    schema = op.get_context().version_table_schema
    key_text = sa.Text() if schema is None else sa.Text(collation="C")
    op.create_table(
        "early_stops",
        sa.Column("stream_id", UuidText(), nullable=False),
        sa.Column("session_id", key_text, nullable=False),
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("stream_id", name="early_stops_pkey"),
        schema=schema,
        if_not_exists=True,
    )
    op.create_index(
        "early_stops_requested_at_idx",
        "early_stops",
        ["requested_at"],
        schema=schema,
        if_not_exists=True,
    )
    for made in _made():
        op.execute(sa.text(made.create.replace(":", "\\:")))


def downgrade() -> None:
    """Stops that nobody came for are lost; streams keep their names."""
    for name in ("session_events_requests_idx", "session_events_started_streams_idx"):
        drop_index(name, EVENTS)
    drop_index("interrupt_signals_request_id_idx", "interrupt_signals")
    for made in reversed(_made()):
        op.execute(made.drop)
    op.drop_table("early_stops", schema=op.get_context().version_table_schema, if_exists=True)


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0007(context.dialect.name, context.version_table_schema))
