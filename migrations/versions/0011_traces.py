"""Where the span of a live stream is known to other processes: a column that may be empty."""

import sqlalchemy as sa

from session_router.database.migration.online import add_column, drop_column

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    add_column("agent_streams", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    drop_column("agent_streams", "traceparent")
