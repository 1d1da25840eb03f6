"""How much one process gets done on PostgreSQL, against others that do the same work."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self
from uuid import uuid4

from benchmarks import population
from benchmarks.bench import Bench
from benchmarks.contenders import OURS, Contender, Contest, Here, Turns, so_many_callers, take_turns
from benchmarks.load import Length, closed_loop
from benchmarks.peers.adk import Adk, adk_process
from benchmarks.peers.bare_asyncpg import BareAsyncpg
from benchmarks.peers.orm import Orm
from benchmarks.peers.pgbench import Pgbench
from benchmarks.report import Chart, Curve, Goal, Panel, Report, Table
from benchmarks.work import Work
from tests.support.processes import PythonProcess

_ASYNCPG: Final = "bare asyncpg"
_NO_RESET: Final = "bare asyncpg, no reset"
_RACY: Final = "bare asyncpg, racy"
_SAFE: Final = "bare asyncpg, safe"
_PGBENCH: Final = "pgbench"
_ORM: Final = "SQLAlchemy ORM"
_ADK_GET: Final = "google-adk get_session"
_ADK_CREATE: Final = "google-adk create_session"

_CALLERS: Final = (1, 16, 64, 256)
_SESSIONS: Final = 100_000
_CHURN_CALLERS: Final = 64
_SPREAD_CALLERS: Final = 256
_SPREAD_GOAL: Final = 4.0


@dataclass(frozen=True)
class _Plan:
    turns: Turns
    churn: Length


_FULL: Final = _Plan(Turns(_CALLERS, 3, Length(0.5, 2.5)), Length(0.0, 60.0))
_QUICK: Final = _Plan(Turns(_CALLERS, 1, Length(0.1, 0.8)), Length(0.0, 5.0))


@dataclass(frozen=True)
class _Bound:
    """What a ratio to a peer is to be, with so many callers: of throughput, or of latency."""

    peer: str
    callers: int
    bound: float
    is_latency: bool = False

    def goal(self, work: str, contest: Contest) -> Goal:
        what = "latency" if self.is_latency else "throughput"
        ratio = contest.latency_ratio if self.is_latency else contest.throughput_ratio
        return Goal(
            f"{work} / {self.peer}, {what}, {so_many_callers(self.callers)}",
            ratio(self.peer, self.callers),
            self.bound,
            is_upper=self.is_latency,
        )


_TOUCH_BOUNDS: Final = (
    _Bound(_ASYNCPG, 1, 1.6, is_latency=True),
    _Bound(_ASYNCPG, 64, 4),
    _Bound(_ASYNCPG, 256, 6),
    _Bound(_PGBENCH, 64, 1.5),
    _Bound(_PGBENCH, 256, 2),
    _Bound(_ADK_GET, 1, 3),
    _Bound(_ADK_GET, 64, 25),
    _Bound(_ADK_GET, 256, 40),
)
_CYCLE_BOUNDS: Final = (
    _Bound(_RACY, 1, 2.5, is_latency=True),
    _Bound(_RACY, 64, 3),
    _Bound(_RACY, 256, 4),
    _Bound(_SAFE, 1, 1.3, is_latency=True),
    _Bound(_SAFE, 64, 5),
    _Bound(_SAFE, 256, 8),
)
_START_BOUNDS: Final = (_Bound(_ADK_CREATE, 1, 3), _Bound(_ADK_CREATE, 64, 25))


async def measure(bench: Bench) -> Report:
    plan = _QUICK if bench.quick else _FULL
    async with bench.database() as url, _Field.ready(bench, url) as field:

        async def tidy() -> None:
            await population.tidy(url)

        async def leave_as_is() -> None:
            """Dead rows are part of what is measured."""

        await population.live_sessions(url, _SESSIONS)
        touches = await take_turns(field.touchers(), plan.turns, tidy)
        await closed_loop(field.ours.cycle, _CHURN_CALLERS, plan.churn)
        cycles = await take_turns(field.cyclers(), plan.turns, leave_as_is)
        starts = await take_turns(field.starters(), plan.turns, tidy)
    return _report(touches, cycles, starts, plan)


@dataclass(frozen=True)
class _Field:
    """All who take part."""

    ours: Work
    bare: BareAsyncpg
    no_reset: BareAsyncpg
    orm: Orm
    pgbench: Pgbench
    adk: PythonProcess | None

    @classmethod
    @asynccontextmanager
    async def ready(cls, bench: Bench, url: str) -> AsyncIterator[Self]:
        async with (
            Work.ready(url, _SESSIONS) as ours,
            BareAsyncpg.ready(url) as bare,
            BareAsyncpg.ready(url, resets=False) as no_reset,
            Orm.ready(url) as orm,
            adk_process(bench, _SESSIONS) as adk,
        ):
            yield cls(ours, bare, no_reset, orm, Pgbench(_PGBENCH, url, _SESSIONS), adk)

    def touchers(self) -> list[Contender]:
        return [
            Here(OURS, self.ours.touch),
            Here(_ASYNCPG, lambda _: self.bare.touch(_some_session())),
            Here(_NO_RESET, lambda _: self.no_reset.touch(_some_session())),
            self.pgbench,
            Here(_ORM, lambda _: self.orm.touch(_some_session())),
            *self._adk(_ADK_GET, "get_session"),
        ]

    def cyclers(self) -> list[Contender]:
        bare = self.bare
        return [
            Here(OURS, self.ours.cycle),
            Here(_RACY, lambda caller: bare.racy_cycle(_some_session(), "writer", f"r-{caller}")),
            Here(_SAFE, lambda caller: bare.safe_cycle(_some_session(), "writer", f"s-{caller}")),
        ]

    def starters(self) -> list[Contender]:
        return [
            Here(OURS, lambda _: self.ours.start(uuid4().hex)),
            *self._adk(_ADK_CREATE, "create_session"),
        ]

    def _adk(self, name: str, work: str) -> list[Contender]:
        return [] if self.adk is None else [Adk(name, work, self.adk)]


def _some_session() -> str:
    return population.session_id(random.randrange(_SESSIONS))  # noqa: S311 - spreads load only


def _report(touches: Contest, cycles: Contest, starts: Contest, plan: _Plan) -> Report:
    works = {"touch": touches, "register + unmark": cycles, "start": starts}
    spread = f"99th percentile / median, {so_many_callers(_SPREAD_CALLERS)}"
    return Report(
        "Throughput of one process on PostgreSQL",
        tables=[
            table
            for work, contest in works.items()
            for table in (_rates(work, contest), _latencies(work, contest))
        ],
        goals=[
            *(bound.goal("touch", touches) for bound in _TOUCH_BOUNDS),
            Goal(f"touch, {spread}", touches.spread(_SPREAD_CALLERS), _SPREAD_GOAL),
            *(bound.goal("register + unmark", cycles) for bound in _CYCLE_BOUNDS),
            Goal(f"register + unmark, {spread}", cycles.spread(_SPREAD_CALLERS), _SPREAD_GOAL),
            *(bound.goal("start", starts) for bound in _START_BOUNDS),
        ],
        notes=_notes(plan, touches),
        samples={
            f"{work}, {name}, {callers}: rate, median, p99": [
                figure for w in windows for figure in (w.rate, w.median, w.p99)
            ]
            for work, contest in works.items()
            for name, by_callers in contest.windows.items()
            for callers, windows in by_callers.items()
        },
        charts=[_chart(work, contest) for work, contest in works.items()],
    )


def _notes(plan: _Plan, touches: Contest) -> list[str]:
    turns = plan.turns
    rounds = (
        f"Contenders take turns, in {turns.rounds} rounds. Windows are {turns.length.seconds:g} s "
        f"after {turns.length.warm_up:g} s of warm-up; figures are medians of the rounds."
    )
    peers = (
        "The racy peer makes each change in one statement, which can lose a race to others; the "
        "safe one is a transaction that fences, locks, reads and writes, statement by statement."
    )
    reset = (
        "asyncpg's pool resets a connection, a statement more, after each use; `no reset` is the "
        "same without that, for comparison."
    )
    notes = [
        f"{_SESSIONS:,} live sessions, in one of ten an agent streams; a call takes any of them.",
        "touch: get_session, which returns the session and who streams in it.",
        "register + unmark: register_agent, then unmark_agent_streaming: two durable changes.",
        "start: start_session with a fresh id.",
        "Each caller calls anew as soon as it has its answer.",
        rounds,
        "Each runs in one process on uvloop, but for pgbench, in C with 2 threads.",
        "google-adk has a process and a database of its own; its get_session writes nothing.",
        reset,
        peers,
        f"{plan.churn.seconds:g} s of register + unmark came before that was measured.",
    ]
    if _ADK_GET not in touches.windows:
        notes.append("google-adk is not installed here: `make bench` does it, given a network.")
    return notes


def _rates(work: str, contest: Contest) -> Table:
    header = [f"{work}, calls/s", *(so_many_callers(callers) for callers in _CALLERS)]
    rows = [
        [name, *(f"{contest.rate(name, callers):,.0f}" for callers in _CALLERS)]
        for name in contest.windows
    ]
    return Table(header, rows)


def _latencies(work: str, contest: Contest) -> Table:
    header = [f"{work}, median / p99, ms", *(so_many_callers(callers) for callers in _CALLERS)]

    def both(name: str, callers: int) -> str:
        median, p99 = contest.median_latency(name, callers), contest.p99_latency(name, callers)
        return f"{_ms(median)} / {_ms(p99)}"

    rows = [[name, *(both(name, callers) for callers in _CALLERS)] for name in contest.windows]
    return Table(header, rows)


def _chart(work: str, contest: Contest) -> Chart:
    rates = [Curve(n, [(c, contest.rate(n, c)) for c in _CALLERS]) for n in contest.windows]
    p99s = [
        Curve(n, [(c, contest.p99_latency(n, c) * 1000) for c in _CALLERS]) for n in contest.windows
    ]
    return Chart(
        f"throughput-{work.split(maxsplit=1)[0]}",
        work,
        [
            Panel("throughput", "concurrent callers", "calls per second", rates),
            Panel("99th percentile of latency", "concurrent callers", "milliseconds", p99s),
        ],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}" if seconds < 0.1 else f"{seconds * 1000:,.0f}"
