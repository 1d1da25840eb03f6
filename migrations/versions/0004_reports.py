"""Views for reports, and the indexes that bounds in time are searched by."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions.reports_0004 import reports

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "session_events"
# Partial, and apart from each other: an event is in the index of its time, and in one more at most.
PARTIAL = {
    "session_events_ended_sessions_idx": (
        ["started_at"],
        "event IN ('session_ended', 'session_expired', 'session_replaced')",
    ),
    "session_events_finished_streams_idx": (
        ["started_at", "occurred_at"],
        "event = 'stream_finished'",
    ),
    "session_events_settled_signals_idx": (["started_at"], "event = 'signal_settled'"),
}


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    op.create_index("session_events_occurred_at_idx", TABLE, ["occurred_at"], schema=schema)
    for name, (columns, of_these) in PARTIAL.items():
        where = sa.text(of_these)
        op.create_index(
            name, TABLE, columns, schema=schema, postgresql_where=where, sqlite_where=where
        )
    for view in reports(op.get_context().dialect.name, schema):
        op.execute(view.create)


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    for view in reversed(reports(op.get_context().dialect.name, schema)):
        op.execute(view.drop)
    for name in [*PARTIAL, "session_events_occurred_at_idx"]:
        op.drop_index(name, TABLE, schema=schema)
