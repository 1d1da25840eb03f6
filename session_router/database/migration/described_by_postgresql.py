"""What stands in a schema of PostgreSQL, and what is to stand there, in the server's own words.

What is to be is made for a moment as temporary objects, in the transaction that the caller rolls
back. The server leaves a schema's name out where the search_path begins with it, so that the words
are the same for every schema, whatever it is called.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from session_router.database.definitions import definitions
from session_router.database.migration.differences import INVALID, Outline, plain
from session_router.database.schema import SCRATCH, build_scratch_tables

_VIEW: Final = ": view"

# Of a function all from its parameters on: its name is known, and its schema is of no interest.
_DESCRIBED: Final = text(f"""
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
    SELECT ours.relname || ': index ' || i.relname, pg_get_indexdef(indexrelid, 0, true)
           || CASE WHEN indisvalid THEN '' ELSE '{INVALID}' END
    FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class i ON i.oid = indexrelid
    UNION ALL
    SELECT relname || ': trigger ' || tgname, pg_get_triggerdef(t.oid, true)
           || CASE tgenabled WHEN 'O' THEN '' ELSE concat(' (fires: ', tgenabled, ')') END
    FROM ours JOIN pg_trigger t ON tgrelid = ours.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT relname || '{_VIEW}', pg_get_viewdef(oid) FROM ours WHERE relkind = 'v'
    UNION ALL
    SELECT proname || ': function',
           substr(pg_get_functiondef(oid), strpos(pg_get_functiondef(oid), '('))
    FROM pg_proc WHERE pronamespace = (:namespace)::oid AND proname = ANY (:names)
""")  # noqa: S608 - two words of ours


def found_and_wanted(
    conn: Connection, schema: str, names: Collection[str]
) -> tuple[Outline, Outline]:
    """What is there of these names, and what the metadata makes.

    The transaction must not have begun, and is to be rolled back.
    """
    _begin(conn)
    with _searching(conn, f"{schema}, {SCRATCH}"):
        found = _described(conn, schema, names)
    _make_scratch(conn, schema)
    with _searching(conn, SCRATCH):
        scratch = conn.execute(
            text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")
        ).scalar_one()
        # No temporary function is found without its schema, so a trigger's is named in full.
        wanted = {
            name: definition.replace(f"{SCRATCH}.", "")
            for name, definition in _described(conn, scratch, names).items()
        }
        return _normal(conn, found), _normal(conn, wanted)


def _begin(conn: Connection) -> None:
    """Whatever the role's own settings are: all is rolled back, and described in one way."""
    conn.execute(text("SET TRANSACTION READ WRITE"))
    conn.execute(text("SET LOCAL quote_all_identifiers = off"))
    conn.execute(text("SET LOCAL plpgsql.extra_errors = none"))


@contextmanager
def _searching(conn: Connection, path: str) -> Iterator[None]:
    conn.execute(text(f"SET LOCAL search_path = {path}"))
    yield
    conn.execute(text("SET LOCAL search_path = pg_catalog"))


def _described(conn: Connection, schema: str, names: Collection[str]) -> Outline:
    namespace = conn.execute(
        text("SELECT oid FROM pg_namespace WHERE nspname = :schema"), {"schema": schema}
    ).scalar_one()
    rows = conn.execute(_DESCRIBED, {"namespace": namespace, "names": list(names)})
    return {row.object: plain(row.definition) for row in rows}


def _make_scratch(conn: Connection, schema: str) -> None:
    """The text of a function names the schema that it works on, so that is kept."""
    build_scratch_tables().metadata.create_all(conn, checkfirst=False)
    function = re.compile(f"(CREATE (?:OR REPLACE )?FUNCTION ){schema}[.]")
    for here, there in zip(
        definitions("postgresql", SCRATCH), definitions("postgresql", schema), strict=True
    ):
        is_function = function.match(there.create)
        conn.exec_driver_sql(
            function.sub(rf"\g<1>{SCRATCH}.", there.create, count=1) if is_function else here.create
        )


def _normal(conn: Connection, outline: Outline) -> Outline:
    return {
        name: _made_again(conn, definition) if name.endswith(_VIEW) else definition
        for name, definition in outline.items()
    }


def _made_again(conn: Connection, select: str) -> str:
    """A view's definition, as it is after its own words were made a view of.

    That is what a dump and its restoration do, after which some of it may be said differently:
    a constant in a UNION then has a type's name.
    """
    again = conn.begin_nested()
    try:
        conn.exec_driver_sql(f"CREATE VIEW {SCRATCH}.again AS {select}")
        said = conn.execute(text("SELECT pg_get_viewdef('again'::regclass)")).scalar_one()
        return plain(said)
    except DBAPIError:  # it reads what is not there in this version: so it differs as it is
        return select
    finally:
        again.rollback()
