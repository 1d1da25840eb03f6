"""What stands in a database, object by object, and how that differs from the metadata.

Definitions are compared in the database's own words: the metadata is created for a moment where
nobody sees it (a scratch SQLite database in memory; PostgreSQL's schema for temporary tables, in
a transaction that is rolled back), and described by the same queries. So a CHECK that was
written differently and means something else is found, which a comparison of names would miss.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, create_engine, inspect, text

from session_router.database.definitions import definitions
from session_router.database.schema import build_tables

Shape = dict[str, str]

_SCRATCH: Final = "pg_temp"

_INVALID: Final = " (invalid)"  # as the query below says it
_NOT_VALIDATED: Final = " NOT VALID"  # as PostgreSQL itself says it

_POSTGRESQL: Final = text("""
    WITH ours AS (
        SELECT oid, relname, relkind FROM pg_class
        WHERE relnamespace = (:namespace)::oid AND relname = ANY (:names)
    )
    SELECT relname || ': column ' || attname AS object,
           concat_ws(' ', format_type(atttypid, atttypmod),
               (SELECT 'collate ' || collname FROM pg_collation c
                WHERE c.oid = attcollation AND collname <> 'default'),
               CASE WHEN attnotnull THEN 'not null' END,
               CASE attidentity WHEN 'd' THEN 'identity' WHEN 'a' THEN 'identity always' END,
               (SELECT 'default ' || pg_get_expr(adbin, adrelid) FROM pg_attrdef d
                WHERE d.adrelid = attrelid AND d.adnum = attnum)) AS definition
    FROM ours JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT relname || ': constraint ' || conname, pg_get_constraintdef(con.oid)
    FROM ours JOIN pg_constraint con ON conrelid = ours.oid WHERE contype <> 'n'
    UNION ALL
    SELECT ours.relname || ': index ' || i.relname, pg_get_indexdef(indexrelid)
           || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END
    FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
    UNION ALL
    SELECT relname || ': trigger ' || tgname, pg_get_triggerdef(t.oid)
           || CASE tgenabled WHEN 'O' THEN '' ELSE concat(' (fires: ', tgenabled, ')') END
    FROM ours JOIN pg_trigger t ON tgrelid = ours.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT relname || ': view', pg_get_viewdef(oid) FROM ours WHERE relkind = 'v'
    UNION ALL
    SELECT proname || ': function', pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = (:namespace)::oid AND proname = ANY (:names)
""")


def differences(conn: Connection, schema: str | None) -> list[str]:
    """Every difference between the database and the metadata, a sentence each."""
    names = [table.name for table in build_tables(schema).metadata.sorted_tables]
    names += [made.name for made in definitions(conn.dialect.name, schema)]
    if conn.dialect.name == "sqlite":
        found, wanted = _on_sqlite(conn, names), _wanted_on_sqlite(names)
    else:
        assert schema is not None
        found = _on_postgresql(conn, names, schema)
        wanted = _wanted_on_postgresql(conn, names)
    conn.rollback()
    return _compare(found, wanted)


def _compare(found: Shape, wanted: Shape) -> list[str]:
    faults = [
        f"{name} is missing, though its revision was applied; make it again: {wanted[name]}"
        for name in wanted.keys() - found.keys()
    ]
    faults += [
        f"{name} is not of this version; drop it, unless you know what needs it: {found[name]}"
        for name in found.keys() - wanted.keys()
    ]
    faults += [
        _difference(name, found[name], wanted[name])
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    return sorted(faults)


def _difference(name: str, found: str, wanted: str) -> str:
    if found == wanted + _INVALID:
        return (
            f"{name} was never finished, so no query uses it; REINDEX INDEX CONCURRENTLY mends that"
        )
    if found == wanted + _NOT_VALIDATED:
        return f"{name} holds for new rows only; ALTER TABLE ... VALIDATE CONSTRAINT mends that"
    return f"{name} differs: it is: {found}; change it to: {wanted}"


def _on_postgresql(conn: Connection, names: Collection[str], schema: str) -> Shape:
    namespace = conn.execute(
        text("SELECT oid FROM pg_namespace WHERE nspname = :schema"), {"schema": schema}
    ).scalar_one()
    rows = conn.execute(_POSTGRESQL, {"namespace": namespace, "names": list(names)})
    return {row.object: _plain(row.definition).replace(f"{schema}.", "") for row in rows}


def _wanted_on_postgresql(conn: Connection, names: Collection[str]) -> Shape:
    conn.rollback()
    build_tables(_SCRATCH).metadata.create_all(conn, checkfirst=False)
    _define(conn, _SCRATCH)
    schema = conn.execute(
        text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
    ).scalar_one()
    return {
        name: definition.replace(f"{_SCRATCH}.", "")
        for name, definition in _on_postgresql(conn, names, schema).items()
    }


def _wanted_on_sqlite(names: Collection[str]) -> Shape:
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as conn:
            build_tables(None).metadata.create_all(conn)
            _define(conn, None)
            return _on_sqlite(conn, names)
    finally:
        engine.dispose()


def _define(conn: Connection, schema: str | None) -> None:
    for made in definitions(conn.dialect.name, schema):
        conn.exec_driver_sql(made.create)


def _on_sqlite(conn: Connection, names: Collection[str]) -> Shape:
    shape: Shape = {}
    for name in names:
        for column in _pragma(conn, "table_xinfo", name):
            words = [column.type, "not null" if column.notnull else "", f"pk {column.pk}"]
            default = f"default {column.dflt_value}" if column.dflt_value else ""
            shape[f"{name}: column {column.name}"] = _plain(" ".join([*words, default]))
        for key in _pragma(conn, "foreign_key_list", name):
            reference = f"references {key.table} ({key.to}) on delete {key.on_delete}"
            shape[f"{name}: foreign key {key[3]}"] = reference
        if name in inspect(conn).get_table_names():
            for check in inspect(conn).get_check_constraints(name):
                shape[f"{name}: constraint {check['name']}"] = _plain(check["sqltext"])
    rows = conn.execute(
        text(
            "SELECT tbl_name || ': ' || type || ' ' || name AS object, sql FROM sqlite_master "
            "WHERE tbl_name IN (SELECT value FROM json_each(:names)) "
            "AND type IN ('index', 'trigger', 'view') AND sql IS NOT NULL"
        ),
        {"names": json.dumps(list(names))},
    )
    return shape | {row.object: _plain(row.sql) for row in rows}


def _pragma(conn: Connection, pragma: str, table: str) -> list[Any]:
    statement = f"SELECT * FROM pragma_{pragma}(:name)"  # noqa: S608 - both callers name it
    return list(conn.execute(text(statement), {"name": table}))


def _plain(definition: str) -> str:
    return " ".join(definition.split())
