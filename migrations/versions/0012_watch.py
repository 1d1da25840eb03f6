"""When the trail was verified, in a table that refuses change; and what wakes each worker."""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.verifications_0012 import made_by_0012
from session_router.database.migration.online import add_column, drop_column
from session_router.database.types import UtcDateTime, clock

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "audit_verifications",
        sa.Column("verification_id", number, sa.Identity(), nullable=False),
        sa.Column("verified_at", UtcDateTime(), server_default=clock(), nullable=False),
        sa.Column("events", number, nullable=False),
        sa.Column("sealed_until", number, nullable=False),
        sa.Column("violations", number, nullable=False),
        sa.Column("actor", sa.Text()),
        sa.PrimaryKeyConstraint("verification_id", name="audit_verifications_pkey"),
        sqlite_autoincrement=True,
        schema=op.get_context().version_table_schema,
    )
    for made in _made():
        op.execute(made.create)
    add_column("workers", sa.Column("wake_ups", sa.Text()))


def downgrade() -> None:
    """It is not known any more when the trail was verified."""
    drop_column("workers", "wake_ups")
    for made in reversed(_made()):
        op.execute(made.drop)
    schema = op.get_context().version_table_schema
    op.drop_table("audit_verifications", schema=schema, if_exists=True)


def _made() -> list[Definition]:
    context = op.get_context()
    return list(made_by_0012(context.dialect.name, context.version_table_schema))
