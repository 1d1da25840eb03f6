"""Hooks, and the outbox of what they are owed. No table in use is locked but for a trigger."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.hooks_0010 import FUNCTION, made_by_0010
from session_router.database.types import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
oldest_code = "0001"

OWED, DEAD = "dead_at IS NULL", "dead_at IS NOT NULL"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    key_text = sa.Text() if schema is None else sa.Text(collation="C")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hooks",
        sa.Column("hook_id", key_text, nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("secret", sa.Text()),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("owner", key_text),
        sa.Column("allows_private", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hook_id", name="hooks_pkey"),
        schema=schema,
    )
    op.create_table(
        "hook_deliveries",
        sa.Column("delivery_id", number, sa.Identity(), nullable=False),
        sa.Column("hook_id", key_text, nullable=False),
        sa.Column("event_id", number, nullable=False),
        sa.Column("session_id", key_text, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("dead_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("delivery_id", name="hook_deliveries_pkey"),
        sqlite_autoincrement=True,
        schema=schema,
    )
    op.create_index(
        "hook_deliveries_session_id_hook_id_delivery_id_idx",
        "hook_deliveries",
        ["session_id", "hook_id", "delivery_id"],
        schema=schema,
    )
    for name, columns, where in (
        ("hook_deliveries_due_idx", ["hook_id", "due_at"], OWED),
        ("hook_deliveries_dead_idx", ["delivery_id"], DEAD),
    ):
        given = sa.text(where)
        op.create_index(
            *(name, "hook_deliveries", columns),
            schema=schema,
            postgresql_where=given,
            sqlite_where=given,
        )
    for made in _made():
        op.execute(sa.text(made.create.replace(":", "\\:")))
    if schema is not None:
        # Whoever may execute it may put it on a table of their own, and fill the outbox by that.
        op.execute(f"REVOKE EXECUTE ON FUNCTION {schema}.{FUNCTION}() FROM PUBLIC")


def downgrade() -> None:
    """Hooks are lost, and what they are owed."""
    schema = op.get_context().version_table_schema
    for made in reversed(_made()):
        op.execute(made.drop)
    op.drop_table("hook_deliveries", schema=schema, if_exists=True)
    op.drop_table("hooks", schema=schema, if_exists=True)


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0010(context.dialect.name, context.version_table_schema))
