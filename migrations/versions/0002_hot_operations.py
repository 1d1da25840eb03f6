"""Functions for the hot operations and the sweep; tables vacuumed in time (PostgreSQL).

`agent_streams` and `interrupt_signals` live on inserts and deletes: thousands of dead rows a
second beside few live ones, so a share of the live ones says nothing about when to vacuum. Of
`sessions` all rows may be touched within a minute. Each is vacuumed at every round of autovacuum
that finds this many dead rows, at full speed, since the longer it takes the more there are.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition, hot_operations_0002, sweep_0002

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest_code = "0001"

DEAD_ROWS = {"agent_streams": 2_000, "interrupt_signals": 2_000, "sessions": 20_000}


def upgrade() -> None:
    for made in _made():
        op.execute(sa.text(made.create.replace(":", "\\:")))
    for table, dead_rows in _vacuumed():
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, "
            f"autovacuum_vacuum_threshold = {dead_rows}, autovacuum_vacuum_cost_delay = 0)"
        )


def downgrade() -> None:
    for table, _ in _vacuumed():
        op.execute(
            f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, "
            "autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)"
        )
    for made in reversed(_made()):
        op.execute(made.drop)


def _made() -> list[Definition]:
    context = op.get_context()
    where = context.dialect.name, context.version_table_schema
    return [*hot_operations_0002.made_by_0002(*where), *sweep_0002.made_by_0002(*where)]


def _vacuumed() -> list[tuple[str, int]]:
    schema = op.get_context().version_table_schema
    if schema is None:
        return []
    return [(f"{schema}.{table}", dead_rows) for table, dead_rows in DEAD_ROWS.items()]
