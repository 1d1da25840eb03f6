"""Changes to tables that are in use, for revisions: whoever reads and writes goes on meanwhile.

On PostgreSQL each is made of steps that commit by themselves, so a run that is killed leaves some
of them done. Each can therefore be run again, and first clears away what such a run left. In a
revision they come before all else, on the way up and on the way down: what comes after them is in
the transaction that also writes the version, and is done with it or not at all.
SQLite does the same in the revision's one transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateIndex, CreateTable

from session_router.database.migration.lock import LOCK_TIMEOUT


def create_index(
    name: str, table: str, columns: Sequence[str | sa.ColumnElement[Any]], **options: Any
) -> None:
    """Create an index; `options` as Alembic's `op.create_index` takes them."""
    schema = op.get_context().version_table_schema
    if _is_sqlite():
        op.create_index(name, table, columns, schema=schema, **options)
        return
    with _in_no_hurry():
        # A run that was killed leaves an index that costs at every write and serves no read.
        _drop_index(name, table, schema)
        op.create_index(
            *(name, table, columns),
            schema=schema,
            if_not_exists=True,
            postgresql_concurrently=True,
            **options,
        )


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless it is there: one that may be empty, so that no row is written."""
    if _is_sqlite():
        op.add_column(table, column)
        return
    schema = op.get_context().version_table_schema
    # Alone: a lock on this table is not held while another one is waited for.
    with op.get_context().autocommit_block():
        op.add_column(table, column, schema=schema, if_not_exists=True)


def drop_column(table: str, name: str) -> None:
    """Drop a column, if it is still there, with what it holds."""
    if _is_sqlite():
        op.drop_column(table, name)
        return
    schema = op.get_context().version_table_schema
    with op.get_context().autocommit_block():
        op.drop_column(table, name, schema=schema, if_exists=True)


def drop_index(name: str, table: str) -> None:
    """Drop an index, if it is still there."""
    schema = op.get_context().version_table_schema
    if _is_sqlite():
        op.drop_index(name, table, schema=schema, if_exists=True)
        return
    with _in_no_hurry():
        _drop_index(name, table, schema)


def replace_primary_key(table: sa.Table) -> None:
    """Put the primary key, as `table` has it, in the place of the one that the database has.

    Args:
        table: as for `replace_check`.
    """
    if _is_sqlite():
        _rebuild(table, ())
        return
    name, new = str(table.primary_key.name), f"{table.primary_key.name}_new"
    columns = [column.name for column in table.primary_key.columns]
    create_index(new, table.name, columns, unique=True)
    _exempted(
        f"ALTER TABLE {_qualified(table.name)} DROP CONSTRAINT {name}, "
        f"ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {new}"
    )


def replace_check(name: str, table: sa.Table, triggers: Sequence[str] = ()) -> None:
    """Put the CHECK `name`, as `table` has it, in the place of the one that the database has.

    Args:
        table: the whole table as it is to be, its indexes too, and without a schema: SQLite has
            to build it anew. No foreign key may refer to it.
        triggers: the statements that make its triggers, which SQLite drops with the old table.
    """
    if _is_sqlite():
        _rebuild(table, triggers)
        return
    [check] = [check for check in table.constraints if check.name == name]
    assert isinstance(check, sa.CheckConstraint)
    _exchange_check(name, _qualified(table.name), f"{name}_new", str(check.sqltext))


def _exchange_check(name: str, table: str, new: str, condition: str) -> None:
    """Both rules hold for a while: the new one for new rows at once, for all when validated."""
    _exempted(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {new}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {new} CHECK ({condition}) NOT VALID")
    try:
        with _in_no_hurry():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {new}")
    except sa.exc.IntegrityError:  # rows that are there break the new rule, so it cannot stay
        with op.get_context().autocommit_block():
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {new}")
        raise
    _exempted(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    _exempted(f"ALTER TABLE {table} RENAME CONSTRAINT {new} TO {name}")


def _exempted(statement: str) -> None:
    """What the linter of the SQL warns of, where it cannot know that another rule holds already."""
    op.execute(f"-- squawk-ignore ban-drop-constraint, renaming-object\n{statement}")


def _rebuild(table: sa.Table, triggers: Sequence[str]) -> None:
    """SQLite's way to change a constraint: copy the rows to a new table, and give it the name."""
    rebuilt = f"{table.name}_rebuilt"
    columns = ", ".join(column.name for column in table.columns)
    # A copy of the table would have its rules in an order of chance, so only the text is renamed.
    create = str(CreateTable(table).compile(dialect=op.get_context().dialect))
    op.execute(create.replace(f"CREATE TABLE {table.name}", f"CREATE TABLE {rebuilt}", 1))
    op.execute(f"INSERT INTO {rebuilt} ({columns}) SELECT {columns} FROM {table.name}")  # noqa: S608 - names of ours
    if table.dialect_options["sqlite"]["autoincrement"]:
        _keep_counting(table.name, rebuilt)
    op.execute(f"DROP TABLE {table.name}")
    # Without this, views that read the table would be found broken in the moment it is away.
    op.execute("PRAGMA legacy_alter_table = ON")
    op.execute(f"ALTER TABLE {rebuilt} RENAME TO {table.name}")
    op.execute("PRAGMA legacy_alter_table = OFF")
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        op.execute(CreateIndex(index))
    for trigger in triggers:
        op.execute(trigger)


def _keep_counting(table: str, rebuilt: str) -> None:
    """The copy has counted up to the newest row; the table may have had newer ones."""
    op.execute(f"DELETE FROM sqlite_sequence WHERE name = '{rebuilt}'")  # noqa: S608 - as above
    op.execute(
        f"INSERT INTO sqlite_sequence (name, seq) SELECT '{rebuilt}', seq "  # noqa: S608 - as above
        f"FROM sqlite_sequence WHERE name = '{table}'"
    )


def _drop_index(name: str, table: str, schema: str | None) -> None:
    op.drop_index(name, table, schema=schema, if_exists=True, postgresql_concurrently=True)


@contextmanager
def _in_no_hurry() -> Iterator[None]:
    """Outside of a transaction, and for as long as it takes: what builds stands in nobody's way."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _qualified(table: str) -> str:
    schema = op.get_context().version_table_schema
    return f"{schema}.{table}" if schema else table
