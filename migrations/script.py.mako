"""${message}

Rule: code of version N runs on schema N and on schema N+1, so that a deployment can upgrade the
database first and then its workers one by one. So a revision only expands (new tables, nullable
columns or columns with a default, views), or contracts what no released code uses any more;
never both. Keep locks short: add constraints NOT VALID and validate them in a revision of their
own, build indexes CONCURRENTLY on PostgreSQL. One file serves both databases.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
