"""What an item costs on its way through `stream()`, beside a bare `async for`."""

import time
from collections.abc import AsyncIterator
from typing import Final

from benchmarks.bench import Bench
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median
from session_router import AgentId, InMemorySessionRepository, SessionManager

_ITEMS: Final = 200_000
_QUICK_ITEMS: Final = 20_000
_ROUNDS: Final = 5
_GOAL_USEC: Final = 4.0
_AGENT: Final = AgentId("writer", "benchmark")


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def measure(bench: Bench) -> Report:
    """The database has no part in it: items are not written."""
    count = _QUICK_ITEMS if bench.quick else _ITEMS
    bare: list[float] = []
    ours: list[float] = []
    async with SessionManager(InMemorySessionRepository()) as manager:
        for number in range(_ROUNDS):
            bare.append(await _usec_an_item(numbers(count), count))
            stream = manager.stream(f"session-{number}", _AGENT, numbers(count))
            ours.append(await _usec_an_item(stream, count))
    beside = median([mine - theirs for mine, theirs in zip(ours, bare, strict=True)])
    return Report(
        "An item's way through stream()",
        tables=[
            Table(
                ["on uvloop", "µs an item"],
                [
                    ["stream()", f"{median(ours):.2f}"],
                    ["bare async for", f"{median(bare):.2f}"],
                ],
            )
        ],
        goals=[Goal("stream() beside bare async for, µs an item", beside, _GOAL_USEC)],
        notes=[f"{count:,} items at once, {_ROUNDS} rounds, medians; the source never waits."],
        samples={"stream(), µs": ours, "bare async for, µs": bare},
    )


async def _usec_an_item(source: AsyncIterator[int], count: int) -> float:
    began = time.perf_counter()
    seen = 0
    async for _ in source:
        seen += 1
    assert seen == count
    return (time.perf_counter() - began) / count * 1e6
