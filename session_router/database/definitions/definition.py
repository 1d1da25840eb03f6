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

    @property
    def replace(self) -> str:
        """The statement that puts it in the place of its forerunner, which keeps owner and grants.

        PostgreSQL's, of a function or a view.
        """
        return self.create.replace("CREATE", "CREATE OR REPLACE", 1)
