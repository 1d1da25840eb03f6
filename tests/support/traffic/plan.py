"""What is to be simulated, and the rows that it comes to: plain numbers, times in microseconds."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple


@dataclass(frozen=True)
class AgentType:
    """How one type of agent answers.

    Attributes:
        share: of all answers, how many are its own.
        median_sec, spread: of its lengths, which are log-normal.
        ends: the weights of completed, failed, abandoned, worker_lost and worker_stopped.
    """

    name: str
    share: float
    median_sec: float
    spread: float
    ends: tuple[float, ...]


AGENT_TYPES: Final = (
    AgentType("writer", 0.50, 12.0, 0.6, (93, 2, 4, 0.4, 0.6)),
    AgentType("coder", 0.20, 45.0, 0.9, (88, 7, 3, 1, 1)),
    AgentType("searcher", 0.20, 3.0, 0.5, (95, 4, 0.5, 0.2, 0.3)),
    AgentType("researcher", 0.07, 180.0, 1.0, (80, 8, 9, 2, 1)),
    AgentType("voice", 0.03, 1.2, 0.4, (85, 1, 14, 0, 0)),
)


@dataclass(frozen=True)
class Plan:
    """What to simulate.

    Attributes:
        arrivals: how many session ids begin; 17 events or so come of each.
        days: how long it lasts.
        until: when it ends; naive or in any zone.
    """

    arrivals: int = 60_000
    days: int = 60
    until: datetime = datetime(2026, 6, 30, 15, tzinfo=UTC)
    seed: int = 1


class Event(NamedTuple):
    """A row of `session_events`: times in microseconds, ids as whole numbers."""

    at: int
    session_id: str
    session_uid: int
    event: str
    agent_type: str | None = None
    agent_key: str | None = None
    stream_id: int | None = None
    worker_id: int | None = None
    request_id: int | None = None
    started_at: int | None = None
    outcome: str | None = None
    actor: str | None = None
    detail: str | None = None


@dataclass
class Live:
    """What the tables of the living hold at the end, in the order of their columns."""

    sessions: list[tuple[str, int, int, int]] = field(default_factory=list)
    streams: list[tuple[str, str, str, int, int, int]] = field(default_factory=list)
    signals: list[tuple[int, int, int, str, int, str, str, int, str, int]] = field(
        default_factory=list
    )
