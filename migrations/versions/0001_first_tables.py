"""The first tables: sessions, streams, workers, signals and the audit trail."""

import sqlalchemy as sa
from alembic import op

from session_router.database.types import UtcDateTime, UuidText, clock

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EVENTS = (
    "'session_started', 'session_ended', 'session_expired', 'session_replaced', "
    "'stream_started', 'stream_finished', 'interrupt_requested', 'signal_settled'"
)
STREAM_OUTCOMES = (
    "'completed', 'failed', 'abandoned', 'interrupted', 'superseded', 'session_ended', "
    "'session_expired', 'session_replaced', 'worker_lost', 'worker_stopped'"
)


def key_text() -> sa.types.TypeEngine[str]:
    return sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    op.create_table(
        "sessions",
        sa.Column("session_id", key_text(), nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("last_updated", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="sessions_pkey"),
        schema=schema,
    )
    op.create_index(
        "sessions_last_updated_session_id_idx",
        "sessions",
        ["last_updated", "session_id"],
        schema=schema,
    )
    op.create_table(
        "agent_streams",
        sa.Column("session_id", key_text(), nullable=False),
        sa.Column("agent_type", key_text(), nullable=False),
        sa.Column("agent_key", key_text(), nullable=False),
        sa.Column("stream_id", UuidText(), nullable=False),
        sa.Column("worker_id", UuidText(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "agent_type", "agent_key", name="agent_streams_pkey"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            [f"{schema}.sessions.session_id" if schema else "sessions.session_id"],
            name="agent_streams_session_id_fkey",
        ),
        schema=schema,
    )
    op.create_index("agent_streams_worker_id_idx", "agent_streams", ["worker_id"], schema=schema)
    op.create_table(
        "workers",
        sa.Column("worker_id", UuidText(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("heartbeat_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="workers_pkey"),
        schema=schema,
    )
    op.create_table(
        "interrupt_signals",
        sa.Column("signal_id", UuidText(), nullable=False),
        sa.Column("worker_id", UuidText(), nullable=False),
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("session_id", key_text(), nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("agent_type", key_text(), nullable=False),
        sa.Column("agent_key", key_text(), nullable=False),
        sa.Column("stream_id", UuidText(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("signal_id", name="interrupt_signals_pkey"),
        sa.CheckConstraint(
            "action IN ('cancel', 'cancel_and_remove')", name=op.f("interrupt_signals_action_check")
        ),
        schema=schema,
    )
    op.create_index(
        "interrupt_signals_worker_id_requested_at_idx",
        "interrupt_signals",
        ["worker_id", "requested_at"],
        schema=schema,
    )
    op.create_table(
        "session_events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            nullable=False,
        ),
        sa.Column("occurred_at", UtcDateTime(), server_default=clock(), nullable=False),
        sa.Column("session_id", key_text(), nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("agent_type", key_text()),
        sa.Column("agent_key", key_text()),
        sa.Column("stream_id", UuidText()),
        sa.Column("worker_id", UuidText()),
        sa.Column("request_id", UuidText()),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("outcome", sa.Text()),
        sa.Column("actor", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("event_id", name="session_events_pkey"),
        sa.CheckConstraint(f"event IN ({EVENTS})", name=op.f("session_events_event_check")),
        sa.CheckConstraint(
            "CASE event"
            f" WHEN 'stream_finished' THEN outcome IS NOT NULL AND outcome IN ({STREAM_OUTCOMES})"
            " WHEN 'signal_settled' THEN outcome IS NOT NULL"
            " AND outcome IN ('delivered', 'failed', 'lost')"
            " ELSE outcome IS NULL END",
            name=op.f("session_events_outcome_check"),
        ),
        schema=schema,
        sqlite_autoincrement=True,
    )
    op.create_index(
        "session_events_session_id_event_id_idx",
        "session_events",
        ["session_id", "event_id"],
        schema=schema,
    )


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    for table in (
        "session_events",
        "interrupt_signals",
        "workers",
        "agent_streams",
        "sessions",
    ):
        op.drop_table(table, schema=schema)
