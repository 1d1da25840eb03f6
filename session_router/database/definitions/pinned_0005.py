"""The functions of 0002, as no setting of a role or a database can change what they do.

They pin their `search_path`: without it, who may create a function in a schema that comes before
`pg_catalog` in a caller's path has it run with the caller's rights. And none of their variables has
a name of PL/pgSQL's own, which `plpgsql.extra_errors` forbids.

The text is that of 0002, which is frozen, too.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from session_router.database.definitions import hot_operations_0002, sweep_0002
from session_router.database.definitions.definition import Definition

_LANGUAGE: Final = "LANGUAGE plpgsql"


def made_by_0005(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The functions of revision 0005, each to take its forerunner's place; SQLite has none."""
    return [replace(made, create=_pinned(made.create)) for made in made_by_0002(dialect, schema)]


def made_by_0002(dialect: str, schema: str | None) -> Sequence[Definition]:
    """Their forerunners."""
    return [
        *hot_operations_0002.made_by_0002(dialect, schema),
        *sweep_0002.made_by_0002(dialect, schema),
    ]


def _pinned(create: str) -> str:
    create = create.replace(_LANGUAGE, f"{_LANGUAGE} SET search_path = pg_catalog, pg_temp", 1)
    return re.sub(r"\bfound\b", "answered", create)
