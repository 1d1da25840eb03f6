"""What keeps a table as it was written, by the means of revisions 0003 and 0006."""

from collections.abc import Sequence

from session_router.database.definitions.audit_0003 import _on_postgresql
from session_router.database.definitions.definition import Definition


def append_only(dialect: str, schema: str | None, table: str, same: str) -> Sequence[Definition]:
    """The triggers that refuse every change of a table but an insert.

    Args:
        same: tells, in SQLite's words, a row whose place `NEW` would take: INSERT OR REPLACE
            deletes without firing any trigger but an insert's.
    """
    if dialect != "sqlite":
        assert schema is not None
        return _on_postgresql(schema, table)
    replaces = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "  # noqa: S608 - our names
    return [
        Definition(
            name,
            f"CREATE TRIGGER {name} BEFORE {change} ON {table} {when}"
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
            f"DROP TRIGGER IF EXISTS {name}",
        )
        for name, change, when in (
            (f"{table}_no_update", "UPDATE", ""),
            (f"{table}_no_delete", "DELETE", ""),
            (f"{table}_no_replace", "INSERT", replaces),
        )
    ]
