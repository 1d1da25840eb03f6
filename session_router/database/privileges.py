"""What everybody may do to the trail and the tables, and should not."""

from typing import Final

from sqlalchemy import Connection, text

from session_router.database.grants import KEEPERS_FUNCTIONS
from session_router.database.schema import build_tables

# PUBLIC is grantee 0. While nobody but the owner may enter the schema, it has no rights there.
_PUBLIC: Final = text("""
    WITH entered AS (
        SELECT oid, nspname FROM pg_namespace
        WHERE nspname = :schema AND EXISTS (
            SELECT FROM aclexplode(nspacl) AS acl
            WHERE acl.privilege_type = 'USAGE' AND acl.grantee <> nspowner)
    )
    SELECT 'FUNCTION ' || p.oid::regprocedure AS object, acl.privilege_type AS privilege
    FROM entered JOIN pg_proc AS p ON pronamespace = entered.oid AND proname = ANY (:functions),
        aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl
    WHERE acl.grantee = 0 AND acl.privilege_type = 'EXECUTE'
    UNION
    SELECT format('TABLE %I.%I', nspname, relname),
        string_agg(DISTINCT acl.privilege_type, ', ' ORDER BY acl.privilege_type)
    FROM entered JOIN pg_class AS c ON relnamespace = entered.oid AND relname = ANY (:tables),
        LATERAL (
            SELECT * FROM aclexplode(relacl)
            UNION ALL
            SELECT column_acl.* FROM pg_attribute, aclexplode(attacl) AS column_acl
            WHERE attrelid = c.oid AND NOT attisdropped
        ) AS acl
    WHERE acl.grantee = 0 AND acl.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
    GROUP BY nspname, relname
    ORDER BY 1
""")


def open_to_everybody(conn: Connection, schema: str | None) -> list[str]:
    """What PUBLIC may do that no role of a router needs, a sentence each, with its remedy.

    So it is after a restore that left the rights out: a new function is everybody's.
    """
    if schema is None:
        return []
    tables = [table.name for table in build_tables(schema).metadata.sorted_tables]
    asked = {"schema": schema, "functions": list(KEEPERS_FUNCTIONS), "tables": tables}
    found = conn.execute(_PUBLIC, asked).all()
    conn.rollback()
    return [
        f"{row.object}: PUBLIC may {row.privilege}; take that away: REVOKE {row.privilege} ON "
        f"{row.object} FROM PUBLIC; 'session-router db grants' prints that, too"
        for row in found
    ]
