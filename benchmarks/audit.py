"""How long it takes to seal, to verify and to prune the trail, beside a bare reading of it.

Seals are signed; what is pruned was sealed. And how much space that leaves.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from benchmarks.bench import Bench, connected
from benchmarks.report import Goal, Report, Table
from benchmarks.traffic import fill_tenfold
from session_router.audit.chain import chain
from session_router.audit.keys import AuditKeys, PrivateKey
from session_router.audit.retention import prune
from session_router.audit.seals import broken_seals, seal
from session_router.audit.trail import Trail, silent
from session_router.audit.verification import last_verified, record, verify
from tests.support.traffic import Plan

T = TypeVar("T")

_KEYS: Final = AuditKeys(private=PrivateKey("b" * 64))
_SIZES: Final = """
    SELECT pg_table_size(c.oid) AS table, pg_indexes_size(c.oid) AS indexes
    FROM pg_class c WHERE c.oid = 'session_router.session_events'::regclass
"""
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
            await timed(
                "seal", lambda: seal(trail, _KEYS), lambda made: sum(s.events for s in made)
            )
            async with trail.reading() as conn:
                there = await chain(trail, conn, _KEYS)
            broken = await timed(
                "compare the seals",
                lambda: broken_seals(trail, _KEYS, there, there.line, silent),
                lambda _: count,
            )
            whole = await timed("verify, whole", lambda: verify(trail, _KEYS), lambda v: v.events)
            await record(trail, whole, None)
            since = await last_verified(trail)
            again = await timed(
                "verify, nothing since",
                lambda: verify(trail, _KEYS, since=since),
                lambda v: v.events,
            )
            sizes = {"full": await _sizes(url)}
            last = plan.until - timedelta(days=plan.days // 6)
            await timed("prune most", lambda: prune(trail, last, _KEYS), lambda done: done.events)
            sizes["most of it pruned"] = await _sizes(url)
            after = await verify(trail, _KEYS)
        for what in ("VACUUM", "REINDEX TABLE CONCURRENTLY"):
            async with connected(url) as connection:
                await connection.execute(f"{what} session_router.session_events")
            sizes[f"after {what}"] = await _sizes(url)
    found = [*broken, *whole.violations, *again.violations, *after.violations]
    if found:
        raise AssertionError(f"the trail is not whole: {found[0]}")
    return _report(count, taken, sizes)


async def _copied(url: str) -> None:
    """Read the trail as fast as the server gives it."""
    async with connected(url) as connection:
        await connection.copy_from_table(
            "session_events", schema_name="session_router", output=_leave
        )


async def _leave(data: bytes) -> None:
    """Do nothing with what was read."""


async def _sizes(url: str) -> tuple[int, int]:
    """The bytes of the trail, and of its indexes."""
    async with connected(url) as connection:
        [row] = await connection.fetch(_SIZES)
    return row["table"], row["indexes"]


def _report(
    count: int, taken: dict[str, tuple[int, float]], sizes: dict[str, tuple[int, int]]
) -> Report:
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
        tables=[
            Table(["what", "events", "seconds", "events/s", "of a bare COPY"], rows),
            Table(
                ["the trail's size", "table, MB", "indexes, MB"],
                [[when, *(f"{size / 1e6:,.0f}" for size in both)] for when, both in sizes.items()],
            ),
        ],
        goals=[
            Goal("seal: events/s", rates["seal"], _GOAL_PER_SEC, is_upper=False),
            Goal("compare: events/s", rates["compare the seals"], _GOAL_PER_SEC, is_upper=False),
            Goal("verify, whole: events/s", rates["verify, whole"], _GOAL_PER_SEC, is_upper=False),
            Goal("verify, nothing since: seconds", taken["verify, nothing since"][1], _AGAIN_SEC),
        ],
        notes=[
            "One process, and the server on the same machine; a seal covers 20,000 events.",
            "To verify is to ask the conservation laws of the whole trail, too.",
        ],
    )
