"""Reports of hours, agents and sessions are faster; the index of times has what is counted of them.

The new index comes before the old one goes, each while everybody goes on. On PostgreSQL the views
are replaced and keep their grants; on SQLite none is changed.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import reports_0013, reports_0015
from session_router.database.definitions.definition import Definition
from session_router.database.migration.online import create_index, drop_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
oldest_code = "0001"

EVENTS = "session_events"
BEFORE = "session_events_occurred_at_idx"
NOW = "session_events_activity_idx"


def upgrade() -> None:
    create_index(NOW, EVENTS, ["occurred_at", "event", "session_uid"])
    drop_index(BEFORE, EVENTS)
    dialect, schema = here()
    put_in_place(reports_0013.reports(dialect, schema), reports_0015.reports(dialect, schema))


def downgrade() -> None:
    create_index(BEFORE, EVENTS, ["occurred_at"])
    drop_index(NOW, EVENTS)
    dialect, schema = here()
    put_in_place(reports_0015.reports(dialect, schema), reports_0013.reports(dialect, schema))


def put_in_place(before: Sequence[Definition], now: Sequence[Definition]) -> None:
    """Those of the views that are made differently."""
    for made in now:
        if made not in before:
            op.execute(sa.text(made.replace.replace(":", "\\:")))


def here() -> tuple[str, str | None]:
    context = op.get_context()
    return context.dialect.name, context.version_table_schema
