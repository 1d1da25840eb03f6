"""What the workers' journals and the database say in the end, in the shape that checks need."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from session_router import SQLAlchemySessionRepository
from session_router.events import EventName, SessionEvent
from tests.faults.journal import Entry, entries
from tests.support.laws import contents
from tests.support.sql import query

Life = tuple[str, datetime]
"""One life of a session: its id, and when it began."""


@dataclass(frozen=True)
class Call:
    """One call of a worker's: what was asked, and the answer or error, if it came to that."""

    worker: str
    asked: Entry
    outcome: Entry | None

    @property
    def name(self) -> str:
        return str(self.asked["name"])

    @property
    def is_acknowledged(self) -> bool:
        return self.outcome is not None and self.outcome["what"] == "answered"

    @property
    def wrote_nothing(self) -> bool:
        """Whether the caller was told that nothing was written."""
        return self.outcome is not None and bool(self.outcome.get("nothing_written"))

    @property
    def came_to(self) -> str:
        """`answered`, the error's class, or `killed`."""
        if self.outcome is None:
            return "killed"
        return str(self.outcome.get("error", "answered"))

    def __str__(self) -> str:
        told = " ".join(f"{k}={v}" for k, v in self.asked.items() if k not in ("what", "name"))
        return f"{self.worker}: {self.name} {told}"


@dataclass
class Source:
    """What one stream's source noted of itself."""

    shape: str
    opened_at: float
    closed_at: float | None = None
    items_at: list[float] = field(default_factory=list)


@dataclass
class Journals:
    """What all workers have written."""

    calls: list[Call] = field(default_factory=list)
    logged: list[tuple[str, Entry]] = field(default_factory=list)
    sources: dict[UUID, Source] = field(default_factory=dict)
    warned_while_leaving: list[tuple[str, Entry]] = field(default_factory=list)
    cancels: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, paths: Iterable[Path]) -> "Journals":
        journals = cls()
        for path in paths:
            journals.add(path.stem, entries(path))
        return journals

    def add(self, worker: str, written: list[Entry]) -> None:
        """Take in what one worker has written."""
        outcomes = {e["call"]: e for e in written if e["what"] in ("answered", "raised")}
        asked = [e for e in written if e["what"] == "asked"]
        self.calls += [Call(worker, e, outcomes.get(e["call"])) for e in asked]
        logged = [(worker, e) for e in written if e["what"] == "logged"]
        self.logged += logged
        left_at = [e["at"] for e in asked if e["name"] == "shutdown"]
        self.warned_while_leaving += [(w, e) for w, e in logged if left_at and e["at"] > left_at[0]]
        for entry in written:
            self._add_note(worker, entry)

    def _add_note(self, worker: str, entry: Entry) -> None:
        """Take in what an agent or a source has noted of itself."""
        match entry["what"]:
            case "cancelled":
                self.cancels[worker].append((entry["at"], entry["agent"]))
            case "opened":
                self.sources[UUID(entry["stream_id"])] = Source(entry["shape"], entry["at"])
            case "item":
                self.sources[UUID(entry["stream_id"])].items_at.append(entry["at"])
            case "closed":
                self.sources[UUID(entry["stream_id"])].closed_at = entry["at"]


class Trail:
    """The audit trail, and which lives of sessions are not over."""

    def __init__(self, events: Iterable[SessionEvent], living: Iterable[Life]) -> None:
        self.lives: Counter[Life] = Counter(living)
        self.of_actor: Mapping[str, list[SessionEvent]] = defaultdict(list)
        self.started: Mapping[UUID, list[SessionEvent]] = defaultdict(list)
        self.finished: Mapping[UUID, list[SessionEvent]] = defaultdict(list)
        self.of_request: Mapping[UUID, list[SessionEvent]] = defaultdict(list)
        self.settled: list[SessionEvent] = []
        for event in events:
            self._add(event)

    @classmethod
    async def read(cls, url: str) -> "Trail":
        repository = SQLAlchemySessionRepository.from_url(url)
        held = await contents(repository)
        await repository.close()
        living = await query(url, "SELECT session_id, start_time FROM session_router.sessions")
        return cls(held.events, [(session_id, start) for session_id, start in living])

    def _add(self, event: SessionEvent) -> None:
        if event.actor is not None:
            self.of_actor[event.actor].append(event)
        if event.request_id is not None:
            self.of_request[event.request_id].append(event)
        match event.event:
            case EventName.STREAM_STARTED if event.stream_id:
                self.started[event.stream_id].append(event)
            case EventName.STREAM_FINISHED if event.stream_id:
                self.finished[event.stream_id].append(event)
            case EventName.SIGNAL_SETTLED:
                self.settled.append(event)
            case EventName.SESSION_ENDED | EventName.SESSION_EXPIRED | EventName.SESSION_REPLACED:
                assert event.started_at is not None
                self.lives[event.session_id, event.started_at] += 1
