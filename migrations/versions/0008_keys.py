"""Keys of callers, and the record of them, which refuses change. No table in use is touched."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.keys_0008 import made_by_0008
from session_router.database.types import UtcDateTime, clock

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    schema = op.get_context().version_table_schema
    key_text = sa.Text() if schema is None else sa.Text(collation="C")
    op.create_table(
        "api_keys",
        sa.Column("key_id", key_text, nullable=False),
        *_of_a_key(key_text),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("key_id", name="api_keys_pkey"),
        schema=schema,
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "key_events",
        sa.Column("event_id", number, sa.Identity(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), server_default=clock(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("key_id", key_text, nullable=False),
        *_of_a_key(key_text),
        sa.Column("actor", sa.Text()),
        sa.PrimaryKeyConstraint("event_id", name="key_events_pkey"),
        sa.CheckConstraint(
            "event IN ('key_created', 'key_revoked')", name=op.f("key_events_event_check")
        ),
        sqlite_autoincrement=True,
        schema=schema,
    )
    op.create_index(
        "key_events_key_id_event_idx", "key_events", ["key_id", "event"], unique=True, schema=schema
    )
    for made in _made():
        op.execute(made.create)


def downgrade() -> None:
    """Keys, and the record of them, are lost."""
    schema = op.get_context().version_table_schema
    for made in reversed(_made()):
        op.execute(made.drop)
    op.drop_table("key_events", schema=schema, if_exists=True)
    op.drop_table("api_keys", schema=schema, if_exists=True)


def _of_a_key(key_text: sa.Text) -> list[sa.Column[object]]:
    return [
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("owner", key_text),
        sa.Column("expires_at", UtcDateTime()),
    ]


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0008(context.dialect.name, context.version_table_schema))
