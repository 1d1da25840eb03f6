"""How long it takes to seal, to verify and to prune the trail, beside a bare reading of it."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from benchmarks.bench import Bench, connected
from benchmarks.report import Goal, Report, Table
from benchmarks.traffic import fill_tenfold
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import last_verified, record, verify
from session_router.pseudonyms import ErasureKey
from tests.support.traffic import Plan

T = TypeVar("T")

_KEY: Final = ErasureKey("a key of the benchmark's and of nobody else")
_GOAL_PER_SEC: Final = 100_000.0
_AGAIN_SEC: Final = 60.0


async def measure(bench: Bench) -> Report:
    plan = Plan(arrivals=2_000) if bench.quick else Plan()
    taken: dict[str, tuple[int, float]] = {}

    async def timed(what: str, work: Callable[[], Awaitable[T]], events: Callable[[T], int]) -> T:
        began = time.monotonic()
        done = await work()
        taken[what] = (events(done), time.monotonic() - began)
        return done

    async with bench.database() as url:
        count = await fill_tenfold(url, plan)
        await timed("bare COPY of the trail", lambda: _copied(url), lambda _: count)
        async with Trail.opened(url) as trail:
            await timed("seal", lambda: seal(trail, _KEY), lambda made: sum(s.events for s in made))
            whole = await timed("verify, whole", lambda: verify(trail, _KEY), lambda v: v.events)
            await record(trail, whole, None)
            since = await last_verified(trail)
            again = await timed(
                "verify, nothing since",
                lambda: verify(trail, _KEY, since=since),
                lambda v: v.events,
            )
            middle = plan.until - timedelta(days=plan.days // 2)
            await timed("prune half", lambda: prune(trail, middle, _KEY), lambda done: done.events)
            after = await verify(trail, _KEY)
    found = [*whole.violations, *again.violations, *after.violations]
    if found:
        raise AssertionError(f"the trail is not whole: {found[0]}")
    return _report(count, taken)


async def _copied(url: str) -> None:
    """Read the trail as fast as the server gives it."""
    async with connected(url) as connection:
        await connection.copy_from_table(
            "session_events", schema_name="session_router", output=_leave
        )


async def _leave(data: bytes) -> None:
    """Do nothing with what was read."""


def _report(count: int, taken: dict[str, tuple[int, float]]) -> Report:
    rates = {what: events / seconds for what, (events, seconds) in taken.items()}
    copied = rates["bare COPY of the trail"]
    rows = [
        [
            what,
            f"{events:,}",
            f"{seconds:,.1f}",
            f"{rates[what]:,.0f}",
            f"{rates[what] / copied:.2f}",
        ]
        for what, (events, seconds) in taken.items()
    ]
    return Report(
        f"The audit of {count:,} events",
        tables=[Table(["what", "events", "seconds", "events/s", "of a bare COPY"], rows)],
        goals=[
            Goal("seal: events/s", rates["seal"], _GOAL_PER_SEC, is_upper=False),
            Goal("verify, whole: events/s", rates["verify, whole"], _GOAL_PER_SEC, is_upper=False),
            Goal("verify, nothing since: seconds", taken["verify, nothing since"][1], _AGAIN_SEC),
        ],
        notes=[
            "One process, and the server on the same machine; a seal covers 20,000 events.",
            "To verify is to ask the conservation laws of the whole trail, too.",
        ],
    )
