"""The audit: a trail that refuses change, seals over it, erasure and pruning.

The wider CHECK comes first, in transactions of its own: on PostgreSQL it is validated while
everybody reads and writes on. Killed in between, this revision can be run again.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions.audit_0003 import (
    ERASE_ARGUMENTS,
    PRUNE_ARGUMENTS,
    audit,
)
from session_router.database.types import UtcDateTime, UuidText, clock

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None

EVENTS_BEFORE = (
    "'session_started', 'session_ended', 'session_expired', 'session_replaced', "
    "'stream_started', 'stream_finished', 'interrupt_requested', 'signal_settled'"
)
NEW_EVENTS = "'session_erased', 'trail_pruned'"
STREAM_OUTCOMES = (
    "'completed', 'failed', 'abandoned', 'interrupted', 'superseded', 'session_ended', "
    "'session_expired', 'session_replaced', 'worker_lost', 'worker_stopped'"
)
COLUMNS = (
    "event_id, occurred_at, session_id, session_uid, event, agent_type, agent_key, stream_id, "
    "worker_id, request_id, started_at, outcome, actor, detail"
)


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        rebuild_events(f"{EVENTS_BEFORE}, {NEW_EVENTS}", with_erased=True)
    else:
        allow_events(f"{EVENTS_BEFORE}, {NEW_EVENTS}")
        op.add_column(
            "session_events",
            sa.Column("erased", sa.Boolean(), server_default=sa.false(), nullable=False),
            schema=op.get_context().version_table_schema,
        )
    create_tables()
    for made in audit(op.get_context().dialect.name, op.get_context().version_table_schema):
        op.execute(made.create)
    revoke_from_everybody()


def downgrade() -> None:
    """Erasures stay; the record of them, seals and what is left of pruned stories are lost."""
    schema = op.get_context().version_table_schema
    for made in reversed(audit(op.get_context().dialect.name, schema)):
        op.execute(made.drop)
    op.drop_table("pruned_stories", schema=schema)
    op.drop_table("audit_seals", schema=schema)
    table = f"{schema}.session_events" if schema else "session_events"
    op.execute(f"DELETE FROM {table} WHERE event IN ({NEW_EVENTS})")  # noqa: S608 - our words
    if op.get_context().dialect.name == "sqlite":
        rebuild_events(EVENTS_BEFORE, with_erased=False)
    else:
        op.drop_column("session_events", "erased", schema=schema)
        allow_events(EVENTS_BEFORE)


def allow_events(events: str) -> None:
    """Exchange the CHECK without a long lock."""
    table = f"{op.get_context().version_table_schema}.session_events"
    name = "session_events_event_check"
    op.execute(
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}, "
        f"ADD CONSTRAINT {name} CHECK (event IN ({events})) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def rebuild_events(events: str, *, with_erased: bool) -> None:
    """SQLite changes no CHECK: the table is made anew, with its rows and its next number."""
    erased: sa.Column[bool] = sa.Column(
        "erased", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.create_table(
        "session_events_new",
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), server_default=clock(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("agent_type", sa.Text()),
        sa.Column("agent_key", sa.Text()),
        sa.Column("stream_id", UuidText()),
        sa.Column("worker_id", UuidText()),
        sa.Column("request_id", UuidText()),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("outcome", sa.Text()),
        sa.Column("actor", sa.Text()),
        sa.Column("detail", sa.Text()),
        *([erased] if with_erased else []),
        sa.PrimaryKeyConstraint("event_id", name="session_events_pkey"),
        sa.CheckConstraint(f"event IN ({events})", name=op.f("session_events_event_check")),
        sa.CheckConstraint(
            "CASE event"
            f" WHEN 'stream_finished' THEN outcome IS NOT NULL AND outcome IN ({STREAM_OUTCOMES})"
            " WHEN 'signal_settled' THEN outcome IS NOT NULL"
            " AND outcome IN ('delivered', 'failed', 'lost')"
            " ELSE outcome IS NULL END",
            name=op.f("session_events_outcome_check"),
        ),
        sqlite_autoincrement=True,
    )
    copy = f"INSERT INTO session_events_new ({COLUMNS}) SELECT {COLUMNS} FROM session_events"  # noqa: S608 - our columns
    for statement in (
        copy,
        "DELETE FROM sqlite_sequence WHERE name = 'session_events_new'",
        (
            "INSERT INTO sqlite_sequence (name, seq) "
            "SELECT 'session_events_new', seq FROM sqlite_sequence WHERE name = 'session_events'"
        ),
        "DROP TABLE session_events",
        "ALTER TABLE session_events_new RENAME TO session_events",
    ):
        op.execute(statement)
    op.create_index(
        "session_events_session_id_event_id_idx", "session_events", ["session_id", "event_id"]
    )


def create_tables() -> None:
    schema = op.get_context().version_table_schema
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "audit_seals",
        sa.Column("seal_id", number, autoincrement=False, nullable=False),
        sa.Column("first_event_id", number, nullable=False),
        sa.Column("last_event_id", number, nullable=False),
        sa.Column("events", number, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("sealed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("seal_id", name="audit_seals_pkey"),
        schema=schema,
    )
    op.create_table(
        "pruned_stories",
        sa.Column("seal_id", number, autoincrement=False, nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("events", number, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("request_id", UuidText(), nullable=False),
        sa.PrimaryKeyConstraint("seal_id", "session_uid", name="pruned_stories_pkey"),
        schema=schema,
    )


def revoke_from_everybody() -> None:
    """A new function may be executed by PUBLIC: these two run with their owner's rights."""
    schema = op.get_context().version_table_schema
    if op.get_context().dialect.name == "postgresql":
        for function in (f"prune_trail({PRUNE_ARGUMENTS})", f"erase_events({ERASE_ARGUMENTS})"):
            op.execute(f"REVOKE EXECUTE ON FUNCTION {schema}.{function} FROM PUBLIC")
