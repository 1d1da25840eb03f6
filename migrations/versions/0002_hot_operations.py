"""Functions for the hot operations, a batch at a time (PostgreSQL)."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.hot_operations_0002 import made_by_0002

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for made in _made():
        op.execute(sa.text(made.create.replace(":", "\\:")))


def downgrade() -> None:
    for made in reversed(_made()):
        op.execute(made.drop)


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0002(context.dialect.name, context.version_table_schema))
