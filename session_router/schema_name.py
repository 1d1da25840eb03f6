"""What PostgreSQL's schema of our tables may be called."""

import re
from typing import Final

from session_router.errors import InvalidSettingError

_PLAIN: Final = re.compile("[a-z_][a-z0-9_]{0,62}")
# Every key word that PostgreSQL itself would put in quotes, of versions 15 to 18. The names of
# released functions and views are written without.
_KEY_WORDS: Final = """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user dec decimal default deferrable desc distinct do else end except
    exists extract false fetch float for foreign freeze from full grant greatest group grouping
    having ilike in initially inner inout int integer intersect interval into is isnull join json
    json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar
    json_serialize json_table json_value lateral leading least left like limit localtime
    localtimestamp merge_action national natural nchar none normalize not notnull null nullif
    numeric offset on only or order out outer overlaps overlay placing position precision primary
    real references returning right row select session_user setof similar smallint some substring
    symmetric system_user table tablesample then time timestamp to trailing treat trim true union
    unique user using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize
    xmltable
"""


def check_schema(schema: str) -> str:
    """Return `schema` when it can be the name of our tables' schema, in SQL without quotes.

    Raises:
        InvalidSettingError: it cannot; the message says why.
    """
    if not _PLAIN.fullmatch(schema):
        why = "it is not 1 to 63 of the letters a to z, digits and _, the first of them no digit"
    elif schema in _KEY_WORDS.split():
        why = "it is a key word of SQL"
    elif schema.startswith("pg_") or schema == "information_schema":
        why = "PostgreSQL keeps that name for itself"
    else:
        return schema
    raise InvalidSettingError(f"the schema cannot be called {schema!a}: {why}; choose another.")
