"""What is shown of streams, workers and stops, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from urllib.parse import urlencode
from uuid import UUID

from session_router.agent_id import AgentId, check_agent_type
from session_router.checks import as_uuid
from session_router.errors import InvalidValueError
from session_router.repository.changes import StreamFilter
from session_router.session import check_owner

AGES: Final = {10: "10 s", 60: "1 min", 600: "10 min", 3_600: "1 h", 21_600: "6 h", 86_400: "1 d"}
"""How old streams may be asked to be at the least, in seconds, and how that is said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a page lists.

    Attributes:
        prefix: what their session's id begins with.
        matching: what else holds for them; an interrupt of all that match means the same ones.
        part: what their session's id has in it, or their agent; empty: anything.
    """

    prefix: str
    matching: StreamFilter
    part: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str], owner: str | None) -> Self:
        """What a form says; an empty field says nothing.

        Args:
            owner: whose streams the caller may see; None: anybody's.

        Raises:
            InvalidValueError: a field's value cannot be that of any stream.
        """
        said = {name: value for name, value in given.items() if value}
        agent_type, worker_id = said.get("agent_type"), said.get("worker_id")
        return cls(
            said.get("session", ""),
            StreamFilter(
                agent_type=None if agent_type is None else check_agent_type(agent_type),
                worker_id=None if worker_id is None else as_uuid(worker_id, "worker_id"),
                older_than=_age(said.get("older_than")),
                owner=owner or check_owner(said.get("owner")),
            ),
        )

    @property
    def fields(self) -> dict[str, str]:
        """As a form shows it."""
        meant = self.matching
        return {
            "session": self.prefix,
            "agent_type": meant.agent_type or "",
            "worker_id": "" if meant.worker_id is None else str(meant.worker_id),
            "owner": meant.owner or "",
            "older_than": f"{meant.older_than.total_seconds():.0f}" if meant.older_than else "",
        }

    @property
    def query(self) -> str:
        """As a URL says it."""
        return urlencode({name: value for name, value in self.fields.items() if value})


def _age(given: str | None) -> timedelta | None:
    if given is None:
        return None
    if not given.isdecimal() or int(given) not in AGES:
        raise InvalidValueError(
            f"older_than {given[:80]!a} is not offered; choose one of {', '.join(map(str, AGES))} "
            "seconds."
        )
    return timedelta(seconds=int(given))


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which stream a page begins, in the order of their beginnings."""

    started_at: datetime
    stream_id: UUID

    @classmethod
    def read(cls, written: str) -> Self | None:
        """From a URL; None where that names none.

        Raises:
            InvalidValueError: it is no place.
        """
        if not written:
            return None
        moment, _, stream_id = written.partition("_")
        try:
            started_at = datetime.fromisoformat(moment)
            if started_at.tzinfo is None:
                raise ValueError("without a time zone")  # noqa: TRY301 - told as all that is wrong
            return cls(started_at, UUID(stream_id))
        except (ValueError, OverflowError):
            raise InvalidValueError(
                f"{written[:80]!a} is no place in the list; begin with the first page."
            ) from None

    def written(self) -> str:
        return f"{self.started_at.isoformat()}_{self.stream_id}"


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is at this moment; counts end at `queries.MOST`.

    Attributes:
        oldest_signal_at: since when the oldest unsettled signal waits.
        expired: sessions that are due, and not yet swept.
        verified_at, violations: when the trail was verified last, and what was found broken.
        sealed_at: when the newest seal of the trail was made.
    """

    read_at: datetime
    sessions: int
    streams: int
    workers: int
    signals: int
    oldest_signal_at: datetime | None
    expired: int
    verified_at: datetime | None
    violations: int | None
    sealed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StreamLine:
    """A stream in the list: one that is live, or one that was told to stop a moment ago.

    Attributes:
        touched_at: when its session was touched last; None where it is not live.
        stop: None where it is live.
    """

    session_id: str
    agent_id: AgentId
    stream_id: UUID
    worker_id: UUID
    started_at: datetime
    owner: str | None = None
    touched_at: datetime | None = None
    stop: "StopLine | None" = None

    @property
    def place(self) -> Place:
        return Place(self.started_at, self.stream_id)


@dataclass(frozen=True, slots=True)
class StopLine:
    """What became of a stop.

    Attributes:
        outcome: `delivered`, `failed` or `lost`; None: not known yet.
        detail: why it failed, or is lost.
        actor, reason: who asked, and why.
    """

    requested_at: datetime
    settled_at: datetime | None
    outcome: str | None
    detail: str | None
    actor: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class StreamPage:
    """A page of the list.

    Attributes:
        behind: where the next page begins; None where this is the last.
    """

    read_at: datetime
    lines: list[StreamLine]
    behind: Place | None


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """A worker, and how far its lease has run out.

    Attributes:
        wake_ups: how it learns of its signals: `listening`, `polling` or `service`; None: not told.
        version: the release that it runs; None: not told.
    """

    worker_id: UUID
    host: str
    pid: int
    started_at: datetime
    heartbeat_age: timedelta
    lease_left: timedelta
    streams: int
    wake_ups: str | None
    version: str | None

    @property
    def is_lost(self) -> bool:
        """Whether others take it for dead."""
        return not self.lease_left


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What hooks are owed; counts end at `queries.MOST`.

    Attributes:
        dead: how many were given up.
    """

    owed: int
    dead: int


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker that was lost, by the streams that ended with it."""

    worker_id: UUID
    streams: int
    noticed_at: datetime
