"""What an item costs on its way through `stream()`, beside a bare `async for`."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from benchmarks.bench import Bench
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median
from session_router import AgentId, InMemorySessionRepository, SessionManager

_ITEMS: Final = 200_000
_QUICK_ITEMS: Final = 20_000
_AT_ONCE: Final = 100
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
    beside: list[float] = []
    async with SessionManager(InMemorySessionRepository()) as manager:
        for number in range(_ROUNDS):
            bare.append(await _usec_an_item(numbers(count), count))
            stream = manager.stream(f"session-{number}", _AGENT, numbers(count))
            ours.append(await _usec_an_item(stream, count))
            streams = [
                manager.stream(f"session-{n}", _AGENT, numbers(count // _AT_ONCE))
                for n in range(_AT_ONCE)
            ]
            beside.append(await _usec_an_item_of_all(streams, count))
    return Report(
        "An item's way through stream()",
        tables=[
            Table(
                ["on uvloop", "µs an item"],
                [
                    ["stream()", f"{median(ours):.2f}"],
                    [f"stream(), {_AT_ONCE} at once", f"{median(beside):.2f}"],
                    ["bare async for", f"{median(bare):.2f}"],
                ],
            )
        ],
        goals=[
            Goal("stream() beside bare async for, µs an item", _more(ours, bare), _GOAL_USEC),
            Goal(
                f"stream(), {_AT_ONCE} at once, beside bare async for, µs an item",
                _more(beside, bare),
                _GOAL_USEC,
            ),
        ],
        notes=[
            f"{count:,} items, {_ROUNDS} rounds, medians; the source never waits.",
            "An item takes two turns of the event loop, which streams that flow at once share.",
        ],
        samples={
            "stream(), µs": ours,
            f"stream(), {_AT_ONCE} at once, µs": beside,
            "bare async for, µs": bare,
        },
    )


async def _usec_an_item(source: AsyncIterator[int], count: int) -> float:
    began = time.perf_counter()
    seen = 0
    async for _ in source:
        seen += 1
    assert seen == count
    return (time.perf_counter() - began) / count * 1e6


async def _usec_an_item_of_all(sources: Sequence[AsyncIterator[int]], count: int) -> float:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_usec_an_item(source, count // len(sources)))
    return (time.perf_counter() - began) / count * 1e6


def _more(ours: list[float], bare: list[float]) -> float:
    return median([mine - theirs for mine, theirs in zip(ours, bare, strict=True)])
