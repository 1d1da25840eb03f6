"""The triggers that keep a table as it was written; revisions 0003 and 0006 say how."""

from collections.abc import Sequence

from session_router.database.definitions.definition import Definition


def append_only(dialect: str, schema: str | None, table: str, same: str) -> Sequence[Definition]:
    """The triggers that refuse every change of a table but an insert.

    Args:
        same: tells, in SQLite's words, a row whose place `NEW` would take.
    """
    if dialect != "sqlite":
        assert schema is not None
        return on_postgresql(schema, table)
    return on_sqlite(table, same, "is append-only")


def on_postgresql(schema: str, table: str) -> list[Definition]:
    """A trigger that fires in every `session_replication_role`, once a statement."""
    name, on = f"{table}_append_only", f"{schema}.{table}"
    return [
        Definition(
            name,
            f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {on} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()",
            f"DROP TRIGGER IF EXISTS {name} ON {on}",
        ),
        Definition(
            name,
            f"ALTER TABLE {on} ENABLE ALWAYS TRIGGER {name}",
            "SELECT 1",
        ),
    ]


def on_sqlite(table: str, same: str, refusal: str) -> list[Definition]:
    """A trigger for each change. INSERT OR REPLACE deletes without firing any but an insert's."""
    replaces = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "  # noqa: S608 - our names
    return [
        Definition(
            name,
            f"CREATE TRIGGER {name} BEFORE {change} ON {table} {when}"
            f"BEGIN SELECT RAISE(ABORT, '{table} {refusal}'); END",
            f"DROP TRIGGER IF EXISTS {name}",
        )
        for name, change, when in (
            (f"{table}_no_update", "UPDATE", ""),
            (f"{table}_no_delete", "DELETE", ""),
            (f"{table}_no_replace", "INSERT", replaces),
        )
    ]
