"""${message}

Rule: code of version N runs on schema N and on schema N+1, so that a deployment can upgrade the
database first and then its workers one by one, and start them again meanwhile.

- Expand (new tables, nullable columns or columns with a default, views, rules that allow more), or
  contract what no released code uses any more; never both in one revision. `oldest_code` is the
  newest revision that the code of the release before knows; only a contraction raises it.
- Lock one table in use, no more: a revision that has one lock and waits for another ends in a
  deadlock with code that takes them the other way round. Two tables are two revisions.
- Nothing that reads a table while it holds the lock: indexes and checks are made by
  `session_router.database.concurrently`, before all else in `upgrade` and in `downgrade`, so that
  a revision can be run again after a kill. A column is not filled here.
- Functions, triggers and views stand in `session_router/database/definitions/`.

One file serves both databases. `make lint` reads the SQL for PostgreSQL; tests run the release
before under load through every step up and down.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
oldest_code = None  # the revision that the release before ends with


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
