"""What wakes workers when they may have signals. It carries no truth: the rows do."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from session_router.outages import Outage

WakeMode: TypeAlias = Literal["listening", "polling"]
ToldBy: TypeAlias = WakeMode | Literal["service"]
"""How a worker learns of its signals; a remote one is told by the service."""


@dataclass(frozen=True, slots=True)
class WakeUps:
    """How a worker learns of its signals: `listening`, or `polling` and why."""

    mode: WakeMode
    reason: str | None = None


class Doorbell(Protocol):
    """Calls what it was made with at each ring, and whenever it might have missed one."""

    @property
    def wake_ups(self) -> WakeUps:
        """Whether it rings at the moment."""

    @property
    def outage(self) -> Outage:
        """Of what it listens to, which may be another address than the database's."""

    @property
    def retry_sec(self) -> float:
        """How long to wait until the next try, in seconds."""

    async def run_once(self) -> None:
        """Listen for as long as that is possible."""

    def follow(self) -> None:
        """Listen to others from now on: whom it is for has changed. Each new one is rung for."""
