"""Which streams are asked for."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, TableClause


@dataclass(frozen=True)
class StreamFilter:
    """Streams that are as all of these say; None, and False, say nothing.

    Attributes:
        outcome: how they ended.
        agent_type, agent_key: whose they are.
        session_id: in which session.
        live: only those that stream now.
    """

    outcome: str | None = None
    agent_type: str | None = None
    agent_key: str | None = None
    session_id: str | None = None
    live: bool = False

    def conditions(self, view: TableClause) -> list[ColumnElement[bool]]:
        """In terms of the view's columns."""
        given: dict[str, Any] = {
            "outcome": self.outcome,
            "agent_type": self.agent_type,
            "agent_key": self.agent_key,
            "session_id": self.session_id,
        }
        equal = [view.c[name] == value for name, value in given.items() if value is not None]
        return [*equal, view.c.ended_at.is_(None)] if self.live else equal


EVERY_STREAM: Final = StreamFilter()
