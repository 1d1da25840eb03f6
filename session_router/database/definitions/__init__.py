"""What stands in the database besides tables: functions, triggers and views.

One module for each revision that brings some, named after it. The revision and the metadata use
the same text, so once a revision is released its module is frozen: a change is a new module with
a new revision, and a function that running code may still call gets a new name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Definition:
    """An object that is no table.

    Attributes:
        name: its name in the schema; of a trigger, the name of the trigger.
        create: the statement that makes it.
        drop: the statement that takes it away.
    """

    name: str
    create: str
    drop: str


Definitions = Callable[[str, str | None], Sequence[Definition]]
"""From a dialect's name and a schema (None on SQLite) to the objects there, in order of making."""

_REVISIONS: Final[Sequence[Definitions]] = ()


def definitions(dialect: str, schema: str | None) -> list[Definition]:
    """Every object that the newest revision has, in the order of their making."""
    return [made for revision in _REVISIONS for made in revision(dialect, schema)]
