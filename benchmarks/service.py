"""Touches over HTTP: beside a bare route, with a key and without, by one process and by two."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks import population
from benchmarks.bench import Bench
from benchmarks.contenders import Contest, Turns, so_many_callers, take_turns
from benchmarks.load import Length, Window, closed_loop
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median
from benchmarks.visits import request_of, visitors
from session_router.access import Keys, NewKey
from tests.support.processes import PythonProcess

_BARE: Final = "a bare Starlette route"
_HEALTH: Final = "healthz"
_KEYLESS: Final = "touch, without a key"
_KEYED: Final = "touch, with a key"
_TWO: Final = "touch, --workers 2"
_BARE_GOAL: Final = 0.5
_KEY_GOAL: Final = 0.95
_SCALE_GOAL: Final = 1.5
_CORES_TO_SCALE: Final = 4
_SESSIONS: Final = 10_000
_CALLERS: Final = 64


@dataclass(frozen=True)
class _Visited:
    """A contender that is visited over HTTP, on connections that stay open.

    Attributes:
        requests: any of them is sent.
    """

    name: str
    port: int
    requests: list[bytes]

    async def window(self, callers: int, length: Length) -> Window:
        async with visitors(self.port, callers) as opened:

            async def call(number: int) -> None:
                request = random.choice(self.requests)  # noqa: S311 - spreads load only
                answer = await opened[number].ask(request)
                assert answer.startswith(b"HTTP/1.1 200"), answer

            return await closed_loop(call, callers, length)


async def measure(bench: Bench) -> Report:
    rounds, length = (2, Length(0.3, 1.0)) if bench.quick else (5, Length(0.5, 2.0))
    turns = Turns((_CALLERS,), rounds, length)
    async with AsyncExitStack() as stack:
        open_url = await _populated(stack, bench)
        keyed_url = await _populated(stack, bench)
        token = await _token(keyed_url)
        bare = await stack.enter_async_context(_child("benchmarks.children.bare_route"))
        ours = await stack.enter_async_context(_service(open_url, 1))
        keyed = await stack.enter_async_context(_service(keyed_url, 1))
        two = await stack.enter_async_context(_service(open_url, 2))
        contenders = [
            _Visited(_BARE, bare, _touches()),
            _Visited(_KEYLESS, ours, _touches()),
            _Visited(_KEYED, keyed, _touches({"Authorization": f"Bearer {token}"})),
            _Visited(_TWO, two, _touches()),
            _Visited(_HEALTH, ours, [request_of("GET", "/healthz")]),
        ]

        async def tidy() -> None:
            for url in (open_url, keyed_url):
                await population.tidy(url)

        return _report(await take_turns(contenders, turns, tidy))


async def _populated(stack: AsyncExitStack, bench: Bench) -> str:
    url = await stack.enter_async_context(bench.database())
    await population.live_sessions(url, _SESSIONS)
    return url


async def _token(url: str) -> str:
    key = NewKey.of("benchmark", ["operate"])
    async with Keys.opened(url) as keys:
        await keys.add(key, None, None)
    return key.token


def _touches(headers: dict[str, str] | None = None) -> list[bytes]:
    return [
        request_of("POST", f"/sessions/{population.session_id(number)}/touch", headers)
        for number in range(_SESSIONS)
    ]


@asynccontextmanager
async def _child(module: str, *arguments: str) -> AsyncIterator[int]:
    """The port of a server that runs while the block lasts."""
    async with PythonProcess.running(module, *arguments) as process:
        said = await process.line()
        yield int(said) if said.isdecimal() else urlsplit(said.split()[2]).port or 0


@asynccontextmanager
async def _service(url: str, workers: int) -> AsyncIterator[int]:
    async with _child("benchmarks.children.service", url, str(workers)) as port:
        yield port


def _report(contest: Contest) -> Report:
    rates = {
        name: [window.rate for window in windows[_CALLERS]]
        for name, windows in contest.windows.items()
    }
    figures = {name: median(each) for name, each in rates.items()}
    latencies = {name: contest.median_latency(name, _CALLERS) * 1000 for name in rates}

    def ratio(ours: str, theirs: str) -> float:
        pairs = zip(rates[ours], rates[theirs], strict=True)
        return median([our_rate / their_rate for our_rate, their_rate in pairs])

    cores = os.cpu_count() or 1
    scaled = ratio(_TWO, _KEYLESS)
    return Report(
        "Touches over HTTP",
        tables=[
            Table(
                ["requests/s", so_many_callers(_CALLERS), "median, ms"],
                [[name, f"{figures[name]:,.0f}", f"{latencies[name]:.2f}"] for name in rates],
            )
        ],
        goals=[
            Goal(f"touch / {_BARE}", ratio(_KEYLESS, _BARE), _BARE_GOAL, is_upper=False),
            Goal("touch with a key / without", ratio(_KEYED, _KEYLESS), _KEY_GOAL, is_upper=False),
            Goal(
                "touch, --workers 2 / 1",
                scaled if cores >= _CORES_TO_SCALE else None,
                _SCALE_GOAL,
                is_upper=False,
            ),
        ],
        notes=[
            f"{_CALLERS} connections stay open, a request at a time on each, from one process.",
            f"A touch takes any of {_SESSIONS:,} sessions; PostgreSQL runs on the same machine.",
            "The bare route answers the same JSON, out of nothing, on uvicorn with httptools.",
            "All run on uvloop, one process each but for --workers 2; none has an access log.",
            f"Contenders take turns, in {len(rates[_BARE])} rounds; ratios are medians of theirs.",
            f"Two workers want {_CORES_TO_SCALE} cores; these {cores} gave {scaled:.2f} of one.",
        ],
        samples={f"requests/s, {name}": each for name, each in rates.items()},
    )
