"""Owners and timeouts of sessions, and workers that are entered over HTTP.

Columns that may be empty, each added in a moment. Code of the release before calls the functions
that it called; what it writes has no owner, and no timeout of its own.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.migration.online import add_column, drop_column

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    for table, column in _columns():
        add_column(table, column)


def downgrade() -> None:
    """Owners are lost, and timeouts; the workers' own holds for all."""
    for table, column in reversed(_columns()):
        drop_column(table, column.name)


def _columns() -> list[tuple[str, sa.Column[object]]]:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    key_text = sa.Text() if is_sqlite else sa.Text(collation="C")
    return [
        ("workers", sa.Column("key_id", key_text)),
        ("sessions", sa.Column("owner", key_text)),
        ("sessions", sa.Column("timeout_minutes", sa.Double())),
    ]
