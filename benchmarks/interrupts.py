"""How long after an interrupt in one process the stream in another one has stopped."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self

import asyncpg

from benchmarks.bench import Bench, connected
from benchmarks.report import Goal, Report, distributions
from benchmarks.samples import median, percentile
from session_router import SessionManager, SQLAlchemySessionRepository
from tests.support.processes import PythonProcess

_HEARD: Final = "benchmark_asks"
_ANSWER: Final = "benchmark_answers"
_TRIP: Final = "LISTEN/NOTIFY round trip"
_COMMIT: Final = "one commit"
_PEER: Final = "peer: both"
_STOP: Final = "interrupt until the stream has stopped"
_CALL: Final = "  of it: until the call returned"
_BESIDE: Final = "the same, beside 60 other streams"
_OTHERS: Final = 60
_MEDIAN_GOAL: Final = 2.5
_P99_GOAL: Final = 8.0
_BESIDE_GOAL: Final = 4.0
_WARM_UP: Final = 50
_SAMPLES: Final = 1_000
_QUICK_SAMPLES: Final = 100


class _Peer:
    """The least that an interrupt could cost: a NOTIFY there and one back, and a commit."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self._answered = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str) -> AsyncIterator[Self]:
        async with (
            connected(url) as connection,
            PythonProcess.running("benchmarks.children.echo", url, _HEARD, _ANSWER) as echo,
        ):
            await connection.execute("CREATE TABLE benchmark_commits (number int)")
            peer = cls(connection)
            await connection.add_listener(_ANSWER, lambda *_: peer._answered.set())
            assert await echo.line() == "ready"
            yield peer

    async def round_trip(self) -> float:
        self._answered.clear()
        began = time.monotonic()
        await self._connection.execute(f"NOTIFY {_HEARD}")
        await self._answered.wait()
        return time.monotonic() - began

    async def commit(self, number: int) -> float:
        began = time.monotonic()
        await self._connection.execute("INSERT INTO benchmark_commits VALUES ($1)", number)
        return time.monotonic() - began


class _Subject:
    """Interrupts here, of a stream in a process of its own."""

    def __init__(self, manager: SessionManager, streamer: PythonProcess) -> None:
        self._manager = manager
        self._streamer = streamer

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str, others: int) -> AsyncIterator[Self]:
        """With so many other streams in the process."""
        repository = SQLAlchemySessionRepository.from_url(url)
        async with (
            SessionManager(repository) as manager,
            PythonProcess.running("benchmarks.children.streamer", url, str(others)) as streamer,
        ):
            assert await streamer.line() == "ready"
            yield cls(manager, streamer)
        await repository.close()

    async def interrupt(self, session_id: str) -> tuple[float, float]:
        """The time until the stream had stopped, and until the call had returned."""
        await self._streamer.tell(session_id)
        assert await self._streamer.line() == "streaming"
        await _pause()
        began = time.monotonic()
        interrupted = await self._manager.interrupt_streaming_agents(session_id)
        returned = time.monotonic()
        assert len(interrupted) == 1
        ended = float(await self._streamer.line())
        return ended - began, returned - began


async def measure(bench: Bench) -> Report:
    names = (_TRIP, _COMMIT, _PEER, _STOP, _CALL, _BESIDE)
    samples: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(bench.database())
        peer = await stack.enter_async_context(_Peer.ready(url))
        subject = await stack.enter_async_context(_Subject.ready(url, 0))
        busy = await stack.enter_async_context(_Subject.ready(url, _OTHERS))
        for number in range(_WARM_UP + (_QUICK_SAMPLES if bench.quick else _SAMPLES)):
            await _pause()
            trip, commit = await peer.round_trip(), await peer.commit(number)
            await _pause()
            stop, call = await subject.interrupt(f"session-{number % 100}")
            await _pause()
            beside, _ = await busy.interrupt(f"busy-{number % 100}")
            if number >= _WARM_UP:
                found = (trip, commit, trip + commit, stop, call, beside)
                for values, value in zip(samples.values(), found, strict=True):
                    values.append(value)
    base, stops = median(samples[_PEER]), samples[_STOP]
    return Report(
        "Interrupt in one process until the stream in another has stopped",
        tables=[distributions(samples)],
        goals=[
            Goal("median / peer's median", median(stops) / base, _MEDIAN_GOAL),
            Goal("99th percentile / peer's median", percentile(stops, 0.99) / base, _P99_GOAL),
            Goal(
                f"median beside {_OTHERS} streams / peer's median",
                median(samples[_BESIDE]) / base,
                _BESIDE_GOAL,
            ),
        ],
        notes=["Samples of both are taken in turns; the peer is bare asyncpg in two processes."],
        samples=samples,
    )


async def _pause() -> None:
    """Let the last sample's remains (its settling) pass, and fall into step with nothing."""
    await asyncio.sleep(random.uniform(0.01, 0.03))  # noqa: S311 - spreads samples only
