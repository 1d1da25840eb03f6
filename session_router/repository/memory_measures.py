"""What can be measured of the repository in memory."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from session_router.events import EventName, SessionEvent, SignalOutcome, StreamOutcome
from session_router.repository.measures import (
    SETTLE_SECONDS,
    STREAM_SECONDS,
    Durations,
    Stock,
    Tally,
)
from session_router.repository.memory_state import MemoryState

_NONE: Final = timedelta(0)


class MemoryMeasures(MemoryState):
    """The steps of `repository/sql/stock.py` and `tallies.py`."""

    async def stock(self, idle_for: timedelta, grace: timedelta, lease: timedelta) -> Stock:
        now = self._now()
        given = [signal.requested_at for signal in self._signals.values()]
        due = [
            row.last_updated + idle_for
            if row.timeout_minutes is None
            else row.last_updated + timedelta(minutes=row.timeout_minutes) + grace
            for row in self._sessions.values()
        ]
        return Stock(
            sessions=len(self._sessions),
            streams=Counter(stream.agent_id.type for stream in self._all_streams()),
            signals=len(given),
            oldest_signal=max((now - moment for moment in given), default=_NONE),
            workers=sum(w.heartbeat_at > now - lease for w in self._workers.values()),
            sweep_lag=max(_NONE, *(now - moment for moment in due)) if due else _NONE,
        )

    async def tally(self, after: int | None) -> Tally:
        newest = self._events[-1].event_id if self._events else 0
        tally = Tally(newest)
        if after is not None:
            for event in self._events:
                if event.event_id > after:
                    _add(tally, event)
        return tally


def _add(tally: Tally, event: SessionEvent) -> None:
    seconds = max(event.duration_sec or 0.0, 0.0)
    match event.outcome:
        case StreamOutcome() as outcome:
            durations = tally.stream(event.agent_type or "", outcome)
            _count(durations, STREAM_SECONDS, seconds)
        case SignalOutcome() as outcome:
            _count(tally.signal(outcome), SETTLE_SECONDS, seconds)
        case _:
            tally.interrupts += event.event is EventName.INTERRUPT_REQUESTED


def _count(durations: Durations, bounds: Sequence[float], seconds: float) -> None:
    durations.numbers[bisect_left(bounds, seconds)] += 1
    durations.seconds += seconds
