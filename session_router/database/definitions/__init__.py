"""What stands in the database besides tables: functions, triggers and views.

One module for each revision that brings some, named after it. The revision and the metadata use
the same text, so once a revision is released its module is frozen: a change is a new module with
a new revision, and a function that running code may still call gets a new name.
"""

from collections.abc import Callable, Sequence
from typing import Final

from session_router.database.definitions import (
    audit_0016,
    hooks_0010,
    keys_0008,
    owners_0009,
    reports_0015,
    stops_0007,
    times_0014,
    verifications_0012,
    workers_0013,
)
from session_router.database.definitions.definition import Definition

__all__ = ["Definition", "definitions"]

# From a dialect's name and a schema (None on SQLite) to the objects there.
_REVISIONS: Final[Sequence[Callable[[str, str | None], Sequence[Definition]]]] = (
    owners_0009.kept_of_0005,
    audit_0016.made_by_0016,
    reports_0015.reports,
    stops_0007.made_by_0007,
    keys_0008.made_by_0008,
    owners_0009.made_by_0009,
    hooks_0010.made_by_0010,
    verifications_0012.made_by_0012,
    workers_0013.made_by_0013,
    times_0014.made_by_0014,
)


def definitions(dialect: str, schema: str | None) -> list[Definition]:
    """Every object that the newest revision has, in the order of their making."""
    return [made for revision in _REVISIONS for made in revision(dialect, schema)]
