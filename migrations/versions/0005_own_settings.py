"""Functions and views that no server's setting and no dump can change; a key for every table.

No table in use is locked. Replaced functions and views keep their owner and their grants.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition, reports_0004, reports_0005
from session_router.database.definitions.pinned_0005 import made_by_0002, made_by_0005

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
oldest_code = "0001"

TABLE = "session_router_oldest_code"


def upgrade() -> None:
    if not is_sqlite():
        give_a_key()
    put_in_place(made_by_0005(*where()))
    put_in_place(reports_0005.reports(*where()))


def downgrade() -> None:
    """The key stays: every revision can do with it."""
    put_in_place(reports_0004.reports(*where()))
    put_in_place(made_by_0002(*where()))


def give_a_key() -> None:
    """Without one, a publication of all tables forbids every change of a row.

    Tables that this release makes have it from the beginning. There is one row.
    """
    table = f"{op.get_context().version_table_schema}.{TABLE}"
    exempted = "ban-drop-constraint, constraint-missing-not-valid, adding-serial-primary-key-field"
    op.execute(
        f"-- squawk-ignore {exempted}\n"
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {TABLE}_pkey, "
        f"ADD CONSTRAINT {TABLE}_pkey PRIMARY KEY (revision)"
    )


def put_in_place(definitions: Iterable[Definition]) -> None:
    """SQLite replaces nothing, and has no grants that a drop would lose."""
    for made in definitions:
        if is_sqlite():
            op.execute(made.drop)
        statement = made.create if is_sqlite() else made.replace
        op.execute(sa.text(statement.replace(":", "\\:")))


def where() -> tuple[str, str | None]:
    context = op.get_context()
    return context.dialect.name, context.version_table_schema


def is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
