"""Seals by their own function; a trail whose trigger speaks every language (PostgreSQL).

Functions only: no table is locked, and code of the release before calls what it called. Replaced
functions keep their owner and who may execute them.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition
from session_router.database.definitions.audit_0006 import (
    LEAVE_ARGUMENTS,
    SEAL_ARGUMENTS,
    made_by_0006,
    new_functions,
    replaced_functions,
)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
oldest_code = "0001"


def upgrade() -> None:
    context = op.get_context()
    schema = context.version_table_schema
    if schema is None:
        return
    for made in made_by_0006(context.dialect.name, schema):
        if "FUNCTION" in made.drop:
            _put_in_place(made)
    # A new function may be executed by PUBLIC: these two run with their owner's rights.
    for function in (f"seal_trail({SEAL_ARGUMENTS})", f"leave_digests({LEAVE_ARGUMENTS})"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {schema}.{function} FROM PUBLIC")


def downgrade() -> None:
    schema = op.get_context().version_table_schema
    if schema is None:
        return
    for made in replaced_functions(schema):
        _put_in_place(made)
    for made in reversed(new_functions(schema)):
        op.execute(made.drop)


def _put_in_place(made: Definition) -> None:
    statement = made.create.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    op.execute(sa.text(statement.replace(":", "\\:")))
