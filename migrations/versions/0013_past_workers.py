"""Workers that are gone stay known; faster reports, which tell of workers.

Columns that may be empty and indexes come first, each while everybody goes on. Then a table, and a
trigger on `workers` that fills it: so what workers of the release before take out is kept, too.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import (
    Definition,
    reports_0009,
    reports_0013,
    workers_0013,
)
from session_router.database.migration.online import (
    add_column,
    create_index,
    drop_column,
    drop_index,
)
from session_router.database.types import UtcDateTime, UuidText

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
oldest_code = "0001"

EVENTS, PAST = "session_events", "past_workers"
REQUESTS = (
    "event IN ('interrupt_requested', 'session_ended', 'session_expired', 'session_replaced')"
)
INDEXES = {
    "session_events_streams_of_lives_idx": (["session_uid"], "event = 'stream_started'"),
    "session_events_requests_of_lives_idx": (["session_uid", "event", "request_id"], REQUESTS),
    "session_events_agents_idx": (
        ["occurred_at", "agent_type", "started_at", "outcome", "session_uid"],
        "event = 'stream_finished'",
    ),
}
# Its day becomes a date, which no view that stands can be told.
AGENTS = "report_agents"


def upgrade() -> None:
    for name in ("version", "ending"):
        add_column("workers", sa.Column(name, sa.Text()))
    for name, (columns, of_these) in INDEXES.items():
        where = sa.text(of_these)
        create_index(name, EVENTS, columns, postgresql_where=where, sqlite_where=where)
    dialect, schema = here()
    op.create_table(
        PAST,
        sa.Column("worker_id", UuidText(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text()),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="past_workers_pkey"),
        sa.CheckConstraint("how IN ('stopped', 'lost')", name=op.f("past_workers_how_check")),
        schema=schema,
    )
    for column in ("started_at", "ended_at"):
        op.create_index(f"past_workers_{column}_idx", PAST, [column], schema=schema)
    for made in workers_0013.made_by_0013(dialect, schema):
        execute(made.create)
    if schema is not None:
        # Whoever may execute it may put it on a table of their own, and fill this one by that.
        op.execute(f"REVOKE EXECUTE ON FUNCTION {schema}.{workers_0013.FUNCTION}() FROM PUBLIC")
    put_in_place(reports_0009.reports(dialect, schema), reports_0013.reports(dialect, schema))


def downgrade() -> None:
    """It is not known any more which workers there were."""
    for name in INDEXES:
        drop_index(name, EVENTS)
    dialect, schema = here()
    for made in reversed(reports_0013.reports(dialect, schema)):
        op.execute(made.drop)
    for made in reversed(workers_0013.made_by_0013(dialect, schema)):
        op.execute(made.drop)
    op.drop_table(PAST, schema=schema, if_exists=True)
    for made in reports_0009.reports(dialect, schema):
        execute(made.create)
    for name in ("ending", "version"):
        drop_column("workers", name)


def put_in_place(before: Iterable[Definition], now: Iterable[Definition]) -> None:
    """The views of now; on PostgreSQL each keeps its owner and its grants."""
    there = {made.name: made for made in before}
    for made in now:
        old = there.get(made.name)
        if old is not None and old.create == made.create:
            continue
        if old is None:
            execute(made.create)
        elif here()[0] == "sqlite":
            op.execute(old.drop)
            execute(made.create)
        elif made.name == AGENTS:
            execute(exchanged(f"{here()[1]}.{made.name}", old, made))
        else:
            execute(made.replace)


def exchanged(view: str, old: Definition, made: Definition) -> str:
    """A view dropped and made anew, with the rights that each role had to it."""
    return f"""
DO $do$
DECLARE
    held aclitem[] := (SELECT relacl FROM pg_catalog.pg_class WHERE oid = '{view}'::regclass);
    given record;
BEGIN
    {old.drop};
    {made.create};
    FOR given IN
        SELECT privilege_type, is_grantable, CASE grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_catalog.pg_get_userbyid(grantee)) END AS role
        FROM pg_catalog.aclexplode(held) WHERE grantee <> grantor
    LOOP
        EXECUTE format('GRANT %s ON {view} TO %s%s', given.privilege_type, given.role,
            CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$do$""".strip()  # noqa: S608 - names and definitions of ours


def execute(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", "\\:")))


def here() -> tuple[str, str | None]:
    context = op.get_context()
    return context.dialect.name, context.version_table_schema
