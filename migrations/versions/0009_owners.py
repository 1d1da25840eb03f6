"""Owners and timeouts of sessions, workers that are entered over HTTP, and repeated requests.

Columns that may be empty, each added in a moment, and a table. Code of the release before calls the
functions that it called; what it writes has no owner, and no timeout of its own.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.migration.online import add_column, drop_column
from session_router.database.types import UtcDateTime, UuidText

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    for table, column in _columns():
        add_column(table, column)
    op.create_table(
        "idempotent_requests",
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("busy_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("request_id", name="idempotent_requests_pkey"),
        schema=op.get_context().version_table_schema,
    )


def downgrade() -> None:
    """Owners are lost, and timeouts; the workers' own holds for all. Requests may be done again."""
    for table, column in reversed(_columns()):
        drop_column(table, column.name)
    schema = op.get_context().version_table_schema
    op.drop_table("idempotent_requests", schema=schema, if_exists=True)


def _columns() -> list[tuple[str, sa.Column[object]]]:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    key_text = sa.Text() if is_sqlite else sa.Text(collation="C")
    return [
        ("workers", sa.Column("key_id", key_text)),
        ("sessions", sa.Column("owner", key_text)),
        ("sessions", sa.Column("timeout_minutes", sa.Double())),
    ]
