"""Events whose time is not the database's own are refused, by a trigger; no table is changed."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.times_0014 import made_by_0014

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    for made in _made():
        op.execute(sa.text(made.create.replace(":", "\\:")))


def downgrade() -> None:
    for made in reversed(_made()):
        op.execute(made.drop)


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0014(context.dialect.name, context.version_table_schema))
