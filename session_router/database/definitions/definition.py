"""What every module of definitions gives: objects, and how they are made and dropped."""

from dataclasses import dataclass


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
