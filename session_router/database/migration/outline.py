"""What of a schema can be compared where nothing can be made, not even a temporary table.

So it is on a standby, and for a role that may make none. Names, columns' types and functions' text
are compared with the metadata's own; what only the server can say, it would have to say of both.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Dialect, Index, Table, text
from sqlalchemy.schema import Constraint

from session_router.database.definitions import Definition, definitions
from session_router.database.migration.differences import INVALID, Outline, plain
from session_router.database.schema import build_tables

_BODY: Final = re.compile(r"(?s)\$\$(.*)\$\$")
_KIND: Final = re.compile(r"CREATE (?:OR REPLACE )?(FUNCTION|TRIGGER|VIEW) ")

_CAN_COMPARE: Final = text(
    "SELECT pg_is_in_recovery() AS is_standby,"
    " has_database_privilege(current_database(), 'TEMPORARY') AS may_make_temporary"
)

_OUTLINE: Final = text(f"""
    WITH ours AS (
        SELECT oid, relname, relkind FROM pg_class
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema)
        AND relname = ANY (:names)
    )
    SELECT relname || ': column ' || attname AS object,
           concat_ws(' ', format_type(atttypid, atttypmod),
               CASE WHEN attnotnull THEN 'not null' END) AS definition
    FROM ours JOIN pg_attribute ON attrelid = oid
    WHERE relkind <> 'v' AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT relname || ': constraint ' || conname,
           CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END
    FROM ours JOIN pg_constraint con ON conrelid = ours.oid WHERE contype <> 'n'
    UNION ALL
    SELECT ours.relname || ': index ' || i.relname,
           (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = i.oid)
           || CASE WHEN indisvalid THEN '' ELSE '{INVALID}' END
    FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
    WHERE NOT indisprimary
    UNION ALL
    SELECT 'trigger ' || tgname, ''
    FROM ours JOIN pg_trigger t ON tgrelid = ours.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'view ' || relname, '' FROM ours WHERE relkind = 'v'
    UNION ALL
    SELECT 'function ' || proname, prosrc FROM pg_proc
    WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema)
    AND proname = ANY (:names)
""")  # noqa: S608 - a word of ours


def why_outline_only(conn: Connection) -> str | None:
    """Why definitions cannot be compared here, and where they can; None: they can."""
    found = conn.execute(_CAN_COMPARE).one()
    if found.is_standby:
        return "this is a standby, where nothing can be made to compare with; check the primary."
    if not found.may_make_temporary:
        return "this role may make no temporary table to compare with; check as one that may."
    return None


def outlines(conn: Connection, schema: str, names: Collection[str]) -> tuple[Outline, Outline]:
    """What is there of these names, and what the metadata would make."""
    rows = conn.execute(_OUTLINE, {"schema": schema, "names": list(names)})
    found = {row.object: plain(row.definition) for row in rows}
    return found, dict(_wanted(conn.dialect, schema))


def _wanted(dialect: Dialect, schema: str) -> Iterator[tuple[str, str]]:
    for table in build_tables(schema).metadata.sorted_tables:
        yield from _of_table(dialect, table)
    for made in definitions(dialect.name, schema):
        yield from _of_definition(made)


def _of_table(dialect: Dialect, table: Table) -> Iterator[tuple[str, str]]:
    for column in table.columns:
        kind, _, _ = column.type.compile(dialect).lower().partition(" collate ")
        yield f"{table.name}: column {column.name}", kind + ("" if column.nullable else " not null")
    for constraint in table.constraints:
        yield f"{table.name}: constraint {_name(dialect, constraint)}", ""
    for index in table.indexes:
        columns = ", ".join(map(_indexed, index.expressions))
        yield f"{table.name}: index {_name(dialect, index)}", columns


def _indexed(expression: str | ColumnElement[Any]) -> str:
    """As PostgreSQL calls what an index is of; what a sum of a column is called tells no more."""
    return str(expression.name) if isinstance(expression, Column) else "expr"


def _of_definition(made: Definition) -> Iterator[tuple[str, str]]:
    kind = _KIND.match(made.create)
    if kind is not None:  # what is left changes an object that is named already
        body = _BODY.search(made.create) if kind[1] == "FUNCTION" else None
        yield f"{kind[1].lower()} {made.name}", plain(body[1]) if body else ""


def _name(dialect: Dialect, item: Constraint | Index) -> str | None:
    """With the naming convention applied."""
    preparer = dialect.identifier_preparer
    return (
        preparer.format_index(item) if isinstance(item, Index) else preparer.format_constraint(item)
    )
