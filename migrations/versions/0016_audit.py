"""Seals that are signed, over digests that need no key; what is pruned of long stories goes sooner.

Two new tables and the audit's functions: nobody who reads or writes has to wait. Seals of before
hold on. On PostgreSQL the trail is vacuumed after a fiftieth of it is new or gone, not a fifth:
reports read its indexes alone where that was done, and what was pruned can be used again.
"""

import sqlalchemy as sa
from alembic import op

from session_router.database.definitions import Definition, audit_0016
from session_router.database.types import UuidText

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
oldest_code = "0001"

SALTS, CHANGES = "story_salts", audit_0016.CHANGES
AUTOVACUUM = (
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_analyze_scale_factor",
)


def upgrade() -> None:
    dialect, schema = here()
    create_tables(schema)
    if schema is not None:
        exchange(audit_0016.before(schema), audit_0016.functions(schema))
        settings = ", ".join(f"{name} = 0.02" for name in AUTOVACUUM)
        execute(f"ALTER TABLE {schema}.session_events SET ({settings})")
    for before in audit_0016.former_triggers(dialect):
        execute(before.drop)
    for made in audit_0016.triggers(dialect, schema):
        execute(made.drop)
        execute(made.create)


def downgrade() -> None:
    """Where there may be seals of this kind, all of it stays, so that they hold when it is back.

    Code of an older release takes them for forged, and finds no function, or on SQLite no trigger,
    by which to seal, to prune or to erase.
    """
    dialect, schema = here()
    if schema is not None:
        execute(f"ALTER TABLE {schema}.session_events RESET ({', '.join(AUTOVACUUM)})")
    if is_used(schema):
        return
    for made in reversed(audit_0016.triggers(dialect, schema)):
        execute(made.drop)
    for before in audit_0016.former_triggers(dialect):
        execute(before.create)
    if schema is not None:
        exchange(audit_0016.functions(schema), audit_0016.before(schema))
    for table in (CHANGES, SALTS):
        op.drop_table(table, schema=schema, if_exists=True)


def create_tables(schema: str | None) -> None:
    """But where a downgrade has left them."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        SALTS,
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session_uid", name="story_salts_pkey"),
        schema=schema,
        if_not_exists=True,
    )
    op.create_table(
        CHANGES,
        sa.Column("change_id", number, sa.Identity(), nullable=False),
        sa.Column("seal_id", number, nullable=False),
        sa.Column("session_uid", UuidText(), nullable=False),
        sa.Column("events", number, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("digest_after", sa.Text()),
        sa.Column("request_id", UuidText(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="sealed_changes_pkey"),
        sqlite_autoincrement=True,
        schema=schema,
        if_not_exists=True,
    )
    op.create_index(
        "sealed_changes_seal_id_idx", CHANGES, ["seal_id"], schema=schema, if_not_exists=True
    )


def exchange(gone: list[Definition], made: list[Definition]) -> None:
    """Put functions in the place of others; those that keep their arguments keep their grants."""
    kept = {each.drop for each in made}
    for each in gone:
        if each.drop not in kept:
            # What is gone is to be called no more: it would leave no signature.
            execute(f"-- squawk-ignore ban-drop-function\n{each.drop}")
    for each in made:
        execute(each.replace)
        if each.name not in ("refuse_change", "seal_trail"):
            # A new function may be executed by PUBLIC: these run with their owner's rights.
            execute(
                each.drop.replace("DROP FUNCTION IF EXISTS", "REVOKE EXECUTE ON FUNCTION")
                + " FROM PUBLIC"
            )


def is_used(schema: str | None) -> bool:
    """Whether there are such seals; a printed script cannot tell, and so leaves all of it."""
    if op.get_context().as_sql:
        return True
    prefix = f"{schema}." if schema else ""
    for what in (SALTS, CHANGES, f"audit_seals WHERE digest LIKE '{audit_0016.FORM}%'"):
        some = f"SELECT 1 FROM {prefix}{what} LIMIT 1"  # noqa: S608 - our names
        if op.get_bind().execute(sa.text(some.replace(":", "\\:"))).first() is not None:
            return True
    return False


def execute(statement: str) -> None:
    op.execute(sa.text(statement.replace(":", "\\:")))


def here() -> tuple[str, str | None]:
    context = op.get_context()
    return context.dialect.name, context.version_table_schema
