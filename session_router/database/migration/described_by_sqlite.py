"""What stands in an SQLite file, and what is to stand there."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, create_engine, inspect, text

from session_router.database.definitions import definitions
from session_router.database.migration.differences import Outline, plain
from session_router.database.schema import build_tables


def wanted_on_sqlite(names: Collection[str]) -> Outline:
    """What the metadata makes, in a database in memory."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as conn:
            build_tables(None).metadata.create_all(conn)
            for made in definitions("sqlite", None):
                conn.exec_driver_sql(made.create)
            return found_on_sqlite(conn, names)
    finally:
        engine.dispose()


def found_on_sqlite(conn: Connection, names: Collection[str]) -> Outline:
    """What is there of these names."""
    outline: Outline = {}
    for name in names:
        for column in _pragma(conn, "table_xinfo", name):
            words = [column.type, "not null" if column.notnull else "", f"pk {column.pk}"]
            default = f"default {column.dflt_value}" if column.dflt_value else ""
            outline[f"{name}: column {column.name}"] = plain(" ".join([*words, default]))
        for key in _pragma(conn, "foreign_key_list", name):
            reference = f"references {key.table} ({key.to}) on delete {key.on_delete}"
            outline[f"{name}: foreign key {key[3]}"] = reference
        if name in inspect(conn).get_table_names():
            for check in inspect(conn).get_check_constraints(name):
                outline[f"{name}: constraint {check['name']}"] = plain(check["sqltext"])
    rows = conn.execute(
        text(
            "SELECT tbl_name || ': ' || type || ' ' || name AS object, sql FROM sqlite_master "
            "WHERE tbl_name IN (SELECT value FROM json_each(:names)) "
            "AND type IN ('index', 'trigger', 'view') AND sql IS NOT NULL"
        ),
        {"names": json.dumps(list(names))},
    )
    return outline | {row.object: plain(row.sql) for row in rows}


def _pragma(conn: Connection, pragma: str, table: str) -> list[Any]:
    statement = f"SELECT * FROM pragma_{pragma}(:name)"  # noqa: S608 - both callers name it
    return list(conn.execute(text(statement), {"name": table}))
