"""The audit: a trail that refuses change, seals over it, erasure and pruning.

Of the tables in use only the trail is locked. The wider CHECK comes first, in transactions of its
own: on PostgreSQL it is validated while everybody reads and writes on. Killed in between, this
revision can be run again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import audit_0016
from session_router.database.definitions.audit_0003 import (
    ERASE_ARGUMENTS,
    PRUNE_ARGUMENTS,
    made_by_0003,
)
from session_router.database.definitions.definition import Definition
from session_router.database.migration.online import replace_check
from session_router.database.types import UtcDateTime, UuidText, clock

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
oldest_code = "0001"

EVENTS_BEFORE = (
    "'session_started', 'session_ended', 'session_expired', 'session_replaced', "
    "'stream_started', 'stream_finished', 'interrupt_requested', 'signal_settled'"
)
NEW_EVENTS = "'session_erased', 'trail_pruned'"
STREAM_OUTCOMES = (
    "'completed', 'failed', 'abandoned', 'interrupted', 'superseded', 'session_ended', "
    "'session_expired', 'session_replaced', 'worker_lost', 'worker_stopped'"
)


def upgrade() -> None:
    if is_sqlite():
        op.add_column("session_events", erased())
    replace_check("session_events_event_check", events(f"{EVENTS_BEFORE}, {NEW_EVENTS}", erased()))
    if not is_sqlite():
        op.add_column("session_events", erased(), schema=op.get_context().version_table_schema)
    create_tables()
    for made in definitions():
        op.execute(made.create)
    revoke_from_everybody()


def downgrade() -> None:
    """Erasures stay; the record of them, seals and what is left of pruned stories are lost."""
    schema = op.get_context().version_table_schema
    drop_leftovers(schema)
    for made in reversed(definitions()):
        op.execute(made.drop)
    op.drop_table("pruned_stories", schema=schema, if_exists=True)
    op.drop_table("audit_seals", schema=schema, if_exists=True)
    forget = f"DELETE FROM {qualified('session_events')} WHERE event IN ({NEW_EVENTS})"  # noqa: S608 - our words
    if is_sqlite():
        op.execute(forget)
        op.drop_column("session_events", "erased")
    else:
        op.execute(f"ALTER TABLE {qualified('session_events')} DROP COLUMN IF EXISTS erased")
        with op.get_context().autocommit_block():
            op.execute(forget)
    replace_check("session_events_event_check", events(EVENTS_BEFORE))


def drop_leftovers(schema: str | None) -> None:
    """What the downgrade of 0016 leaves where there are seals."""
    for table in ("sealed_changes", "story_salts"):
        op.drop_table(table, schema=schema, if_exists=True)
    if schema is None:
        for made in audit_0016.triggers("sqlite", None):
            op.execute(made.drop)
        return
    for made in audit_0016.functions(schema):
        if made.name != "refuse_change":
            op.execute(made.drop)


def is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def qualified(table: str) -> str:
    schema = op.get_context().version_table_schema
    return f"{schema}.{table}" if schema else table


def definitions() -> Sequence[Definition]:
    context = op.get_context()
    return made_by_0003(context.dialect.name, context.version_table_schema)


def erased() -> sa.Column[bool]:
    return sa.Column("erased", sa.Boolean(), server_default=sa.false(), nullable=False)


def events(names: str, *more: sa.Column[bool]) -> sa.Table:
    """The whole trail's table, as SQLite needs it to exchange a CHECK."""
    return sa.Table(
        "session_events",
        sa.MetaData(),
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
        *more,
        sa.PrimaryKeyConstraint("event_id", name="session_events_pkey"),
        sa.CheckConstraint(f"event IN ({names})", name="session_events_event_check"),
        sa.CheckConstraint(
            "CASE event"
            f" WHEN 'stream_finished' THEN outcome IS NOT NULL AND outcome IN ({STREAM_OUTCOMES})"
            " WHEN 'signal_settled' THEN outcome IS NOT NULL"
            " AND outcome IN ('delivered', 'failed', 'lost')"
            " ELSE outcome IS NULL END",
            name="session_events_outcome_check",
        ),
        sa.Index("session_events_session_id_event_id_idx", "session_id", "event_id"),
        sqlite_autoincrement=True,
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
