"""What a simulation has done, counted while it does it; nothing here is read from a database.

Times are microseconds since 1970, as the simulation reckons them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


@dataclass
class Counts:
    """Counts and sums of everything that happened.

    Attributes:
        hours: by the hour's beginning, how often each event happened.
        endings: how many sessions ended in which way.
        session_us: by ending, how long these sessions lived, together.
        spans: of every stream, its beginning and its end; no end: it streams.
        durations: by agent type and day of the end, every stream's length.
        outcomes: by agent type, day of the end and outcome, the number of streams.
        settled: how many signals came to which outcome.
        latency_us: how long all settled signals took, together.
        asked: by who asked, how many signals that led to.
        stories: by life of a session, its id, when its last event happened, and how many it has.
        going_on: the lives that are not over, or have a signal that is not settled.
    """

    hours: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    endings: Counter[str] = field(default_factory=Counter)
    session_us: Counter[str] = field(default_factory=Counter)
    spans: list[tuple[int, int | None]] = field(default_factory=list)
    durations: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    latency_us: int = 0
    asked: Counter[str | None] = field(default_factory=Counter)
    stories: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    going_on: set[int] = field(default_factory=set)
    live_sessions: int = 0
    live_streams: int = 0
    sessions_streaming: int = 0
    open_signals: int = 0

    @property
    def events(self) -> Counter[str]:
        """How often each event happened in all."""
        return sum(self.hours.values(), Counter())

    def happened(self, event: str, at: int, session_id: str, session_uid: int) -> None:
        self.hours[at - at % HOUR][event] += 1
        _, last, number = self.stories.get(session_uid, (session_id, at, 0))
        self.stories[session_uid] = (session_id, max(last, at), number + 1)

    def over_before(self, at: int) -> tuple[int, int]:
        """How many stories were over before `at`, and how many events these have."""
        over = [
            number
            for uid, (_, last, number) in self.stories.items()
            if last < at and uid not in self.going_on
        ]
        return len(over), sum(over)

    def session_ended(self, ending: str, lived: int) -> None:
        self.endings[ending] += 1
        self.session_us[ending] += lived

    def stream_ended(self, agent_type: str, began: int, at: int, outcome: str) -> None:
        day = at - at % DAY
        self.spans.append((began, at))
        self.durations[agent_type, day].append(at - began)
        self.outcomes[agent_type, day, outcome] += 1

    def streams_on(self, began: int) -> None:
        self.spans.append((began, None))
        self.live_streams += 1

    def concurrency(self, since: int, until: int) -> tuple[int, float]:
        """The peak and the mean number of streams at once, from `since` to before `until`."""
        changes = sorted(
            (max(at, since), change)
            for began, ended in self.spans
            for at, change in ((began, 1), (ended, -1))
            if at is not None and at < until
        )
        level, peak, area, before = 0, 0, 0, since
        for at, together in groupby(changes, key=lambda change: change[0]):
            area += level * (at - before)
            level += sum(change for _, change in together)
            peak, before = max(peak, level), at
        return peak, (area + level * (until - before)) / (until - since)


def nearest_rank(values: Iterable[int], percent: int) -> int:
    """The least value that no less than so many percent of all do not exceed."""
    ranked = sorted(values)
    return ranked[-(-percent * len(ranked) // 100) - 1]
