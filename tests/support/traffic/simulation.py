"""Sessions with a daily rhythm: who comes when, which agents answer, and how each of it ends.

One life of a session after the other is played to its end; what lies beyond the end of the
simulation has not happened yet, so there some live on, stream on, or wait to be settled.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from tests.support.traffic.counts import DAY, HOUR, SECOND, Counts, microseconds
from tests.support.traffic.plan import AGENT_TYPES, AgentType, Event, Live, Plan

_TIMEOUT: Final = 1_800 * SECOND
_SWEEP: Final = 60 * SECOND
_JUST_NOW: Final = 600 * SECOND
_HOPELESS: Final = 3_600 * SECOND
_ACTORS: Final = ("ann", "bob", "carol", "dispatcher", None)
_SOON_SETTLED: Final = 0.012
_NATURAL_ENDS: Final = ("completed", "failed", "abandoned", "worker_lost", "worker_stopped")


@dataclass(frozen=True)
class _Stream:
    agent_type: str
    stream_id: int
    worker_id: int
    began: int
    ended: int
    outcome: str
    request_id: int | None = None
    actor: str | None = None


class Simulation:
    """Plays a plan; `events()` must be read to its end before `live` and `counts` are whole."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts = Counts()
        self.live = Live()
        self.until = microseconds(plan.until)
        self._random = Random(plan.seed)  # noqa: S311 - the same every time is what is wanted
        self.workers = [self._uuid() for _ in range(12)]
        self._days: dict[int, list[Event]] = defaultdict(list)

    def events(self) -> Iterator[list[Event]]:
        """Every event, a day at a time, in the order of their happening."""
        begin = self.until - self.plan.days * DAY
        first_of_day = begin
        for number, at in enumerate(self._arrivals(begin)):
            if at >= first_of_day + DAY:
                first_of_day += DAY
                yield from self._days_before(first_of_day)
            self._visit(f"user-{number}", at)
        yield from self._days_before(self.until)

    def _days_before(self, at: int) -> Iterator[list[Event]]:
        for day in sorted(day for day in self._days if day + DAY <= at or at == self.until):
            yield sorted(self._days.pop(day), key=lambda event: event.at)

    def _arrivals(self, begin: int) -> Iterator[int]:
        """Most come in the afternoon, few at night, fewer on a Saturday or Sunday."""
        hours = range(begin, self.until, HOUR)
        each = self.plan.arrivals / sum(_rhythm(hour) for hour in hours)
        for hour in hours:
            expected = each * _rhythm(hour)
            number = int(expected) + (self._random.random() < expected % 1)
            yield from sorted(hour + self._random.randrange(HOUR) for _ in range(number))

    def _visit(self, session_id: str, at: int) -> None:
        """One life after the other under one id: some come back, some are replaced."""
        following: int | None = at
        while following is not None and following < self.until:
            following = self._life(session_id, following)

    def _life(self, session_id: str, began: int) -> int | None:
        """Play one life, and tell when the id's next one begins."""
        uid, at, touched = self._uuid(), began, began
        self._write(Event(began, session_id, uid, "session_started", worker_id=self._worker()))
        streams: list[_Stream] = []
        is_cut_short = False
        for _ in range(1 + int(self._random.expovariate(0.3))):
            at += self._after(20.0 if touched == began else 150.0)
            if at - touched > _TIMEOUT:
                break
            turn, is_cut_short = self._turn(session_id, uid, at)
            streams += turn
            at = max(stream.ended for stream in turn)
            if is_cut_short:
                break
            touched = at
        event, at = self._ending(at, touched, is_cut_short=is_cut_short)
        if at >= self.until:
            self._leave(session_id, uid, began, streams)
            self._tell_streams(session_id, uid, streams)
            return None
        self._end(session_id, uid, began, at, event, streams)
        if event == "session_replaced":
            return at
        return at + self._random.randrange(HOUR, 3 * DAY) if self._happens(0.3) else None

    def _ending(self, at: int, touched: int, *, is_cut_short: bool) -> tuple[str, int]:
        if is_cut_short:
            return self._random.choices(("session_ended", "session_replaced"), (3, 1))[0], at
        if self._happens(0.35):
            return "session_ended", touched + self._random.randrange(SECOND, 300 * SECOND)
        if self._happens(0.05):
            return "session_replaced", touched + self._random.randrange(SECOND, 300 * SECOND)
        return "session_expired", touched + _TIMEOUT + self._random.randrange(_SWEEP)

    def _turn(self, session_id: str, uid: int, at: int) -> tuple[list[_Stream], bool]:
        """One answer, by one agent or by several at once; it may be stopped in the middle."""
        shares = [agent.share for agent in AGENT_TYPES]
        number = self._random.choices((1, 2, 3), (75, 20, 5))[0]
        agents = {
            agent.name: agent for agent in self._random.choices(AGENT_TYPES, shares, k=number)
        }
        streams = [self._answer(agent, at) for agent in agents.values()]
        end = max(stream.ended for stream in streams)
        dice = self._random.random()
        if dice < 0.06:
            streams = self._interrupt(session_id, uid, streams, self._random.randrange(at, end) + 1)
        elif dice < 0.07:
            self._interrupt(session_id, uid, [], end + 1)  # nothing streams any more
        elif dice < 0.085:
            streams = self._supersede(streams[0]) + streams[1:]
        elif dice < 0.11:
            return streams, True
        return streams, False

    def _answer(self, agent: AgentType, at: int) -> _Stream:
        length = agent.median_sec * math.exp(self._random.gauss(0, agent.spread))
        ended = at + min(int(length * SECOND) + 1_000, _HOPELESS)
        outcome = self._random.choices(_NATURAL_ENDS, agent.ends)[0]
        return _Stream(agent.name, self._uuid(), self._worker(), at, ended, outcome)

    def _interrupt(
        self, session_id: str, uid: int, streams: list[_Stream], at: int
    ) -> list[_Stream]:
        request_id, actor = self._uuid(), self._random.choice(_ACTORS)
        asked = Event(at, session_id, uid, "interrupt_requested", request_id=request_id)
        self._write(asked._replace(worker_id=self._worker(), actor=actor))
        return [
            stream
            if stream.ended < at
            else replace(
                stream, ended=at, outcome="interrupted", request_id=request_id, actor=actor
            )
            for stream in streams
        ]

    def _supersede(self, stream: _Stream) -> list[_Stream]:
        """Another worker takes the stream over, half way."""
        at = (stream.began + stream.ended) // 2
        old = replace(stream, ended=at, outcome="superseded", request_id=self._uuid())
        return [
            old,
            replace(stream, began=at, stream_id=self._uuid(), worker_id=self._worker()),
        ]

    def _end(
        self, session_id: str, uid: int, began: int, at: int, event: str, streams: list[_Stream]
    ) -> None:
        """End the session at `at`: what streams then ends with it."""
        request_id, actor = self._uuid(), None
        if event != "session_expired":
            actor = self._random.choice(_ACTORS)
            # A session that was cut short ends while its last agents stream.
            if streams and max(stream.ended for stream in streams) == at:
                at = (max(stream.began for stream in streams) + at + 1) // 2
        elif streams and self._happens(0.02):
            streams[-1] = replace(streams[-1], ended=at)  # it hung
        stopped = [
            replace(s, ended=at, outcome=event, request_id=request_id, actor=actor)
            if s.ended >= at
            else s
            for s in streams
        ]
        self._tell_streams(session_id, uid, stopped)
        ended = Event(at, session_id, uid, event, request_id=request_id, started_at=began)
        self._write(ended._replace(worker_id=self._worker(), actor=actor))
        self.counts.session_ended(event.removeprefix("session_"), at - began)

    def _leave(self, session_id: str, uid: int, began: int, streams: list[_Stream]) -> None:
        """The session lives on when the simulation ends."""
        times = [at for s in streams for at in (s.began, s.ended) if at < self.until]
        self.live.sessions.append((session_id, uid, began, max(times, default=began)))
        self.counts.live_sessions += 1
        self.counts.going_on.add(uid)
        is_streaming = any(s.began < self.until <= s.ended for s in streams)
        self.counts.sessions_streaming += is_streaming

    def _tell_streams(self, session_id: str, uid: int, streams: list[_Stream]) -> None:
        for stream in streams:
            if stream.began < self.until:
                self._tell_stream(session_id, uid, stream)

    def _tell_stream(self, session_id: str, uid: int, s: _Stream) -> None:
        of = Event(s.began, session_id, uid, "stream_started", s.agent_type, "main", s.stream_id)
        of = of._replace(worker_id=s.worker_id)
        self._write(of)
        if s.ended >= self.until:
            self.live.streams.append(
                (session_id, s.agent_type, "main", s.stream_id, s.worker_id, s.began)
            )
            self.counts.streams_on(s.began)
            return
        ended = of._replace(at=s.ended, event="stream_finished", request_id=s.request_id)
        self._write(ended._replace(started_at=s.began, outcome=s.outcome))
        self.counts.stream_ended(s.agent_type, s.began, s.ended, s.outcome)
        if s.request_id is not None:
            self._signal(ended, s)

    def _signal(self, ended: Event, s: _Stream) -> None:
        """The order to stop that the stream's worker was given, and what became of it."""
        self.counts.asked[s.actor] += 1
        latency = int(_SOON_SETTLED * SECOND * math.exp(self._random.gauss(0, 0.8)))
        outcome = self._random.choices(("delivered", "failed", "lost"), (96, 3, 1))[0]
        details = {"failed": "the agent did not stop in time", "lost": "the worker died"}
        # Half of the workers have just died, and nobody has noticed yet.
        if s.worker_id in self.workers[::2] and s.ended >= self.until - _JUST_NOW:
            outcome, latency = "lost", _JUST_NOW
        elif outcome != "delivered":
            latency += self._random.randrange(5 * SECOND, 40 * SECOND)
        if s.ended + latency >= self.until:
            action = "cancel" if s.outcome in ("interrupted", "superseded") else "cancel_and_remove"
            agent = (s.agent_type, "main", s.stream_id)
            request = (self._uuid(), s.worker_id, s.request_id or 0, ended.session_id)
            self.live.signals.append((*request, ended.session_uid, *agent, action, s.ended))
            self.counts.open_signals += 1
            self.counts.going_on.add(ended.session_uid)
            return
        settled = ended._replace(at=s.ended + latency, event="signal_settled", outcome=outcome)
        self._write(settled._replace(started_at=s.ended, detail=details.get(outcome)))
        self.counts.settled[outcome] += 1
        self.counts.latency_us += latency

    def _write(self, event: Event) -> None:
        if event.at < self.until:
            self._days[event.at - event.at % DAY].append(event)
            self.counts.happened(event.event, event.at, event.session_id, event.session_uid)

    def _uuid(self) -> int:
        # Version 4, as those of the service.
        return self._random.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | (4 << 76 | 2 << 62)

    def _worker(self) -> int:
        return self._random.choice(self.workers)

    def _after(self, mean_sec: float) -> int:
        return int(self._random.expovariate(1 / mean_sec) * SECOND) + 1

    def _happens(self, share: float) -> bool:
        return self._random.random() < share


def _rhythm(hour: int) -> float:
    """How busy an hour is: the peak is at 15:00 UTC; 1970 began on a Thursday."""
    by_day = 1 - 0.85 * math.cos(2 * math.pi * ((hour % DAY) / DAY - 3 / 24))
    is_weekend = (hour // DAY + 3) % 7 >= 5
    return by_day * (0.5 if is_weekend else 1.0)
