"""Views for reports, and the indexes that bounds in time are searched by."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.reports_0004 import reports
from session_router.database.migration.online import create_index, drop_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
oldest_code = "0001"

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
    create_index("session_events_occurred_at_idx", TABLE, ["occurred_at"])
    for name, (columns, of_these) in PARTIAL.items():
        where = sa.text(of_these)
        create_index(name, TABLE, columns, postgresql_where=where, sqlite_where=where)
    for view in _views():
        op.execute(view.create)


def downgrade() -> None:
    for name in [*PARTIAL, "session_events_occurred_at_idx"]:
        drop_index(name, TABLE)
    for view in reversed(_views()):
        op.execute(view.drop)


def _views() -> list[Definition]:
    context = op.get_context()
    return list(reports(context.dialect.name, context.version_table_schema))
