"""Ends of sessions, interrupts of thousands of streams, and registrations that refuse company."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Final
from uuid import UUID, uuid4

from benchmarks import population
from benchmarks.bench import Bench, connected, live_worker
from benchmarks.contenders import OURS, Contest, Here, Turns, take_turns
from benchmarks.load import Call, Length
from benchmarks.peers.safe_end import SafeEnd
from benchmarks.report import Goal, Report, Table
from benchmarks.samples import median
from session_router import AgentId, SessionBusyError, SessionManager, SQLAlchemySessionRepository
from session_router.settings import DEFAULT_SCHEMA
from tests.support.processes import PythonProcess

_CALLERS: Final = 64
_SAFE: Final = "bare asyncpg, safe"
_STREAMS: Final = 3
_SESSIONS: Final = 100_000
_TO_END: Final = 200_000
_WORKERS: Final = 4
_RUNAWAYS: Final = 10_000
_PLAIN: Final = "plain"
_EARLY_STOPS: Final = 100_000
_NO_STOPS: Final = "none"
_FULL: Final = Turns((_CALLERS,), 3, Length(0.5, 2.5))
_QUICK: Final = Turns((_CALLERS,), 1, Length(0.1, 0.8))


async def measure(bench: Bench) -> Report:
    turns = _QUICK if bench.quick else _FULL
    ends = await _ends(bench, turns)
    alone = await _alone(bench, turns)
    flood = await _flood(bench, turns)
    rates = [await _bulk(bench) for _ in range(1 if bench.quick else 3)]
    return Report(
        "Ends and stops",
        tables=[
            _table(f"end of a session with {_STREAMS} streams", ends),
            _table("register + unmark, refusing all others", alone),
            _table(f"named register + unmark beside {_EARLY_STOPS:,} early stops", flood),
            Table(
                [f"interrupt of {_RUNAWAYS:,} streams in {_WORKERS} workers", "streams/s"],
                [["until all receipts are in", f"{median(rates):,.0f}"]],
            ),
        ],
        goals=[
            Goal(
                f"end of a session / {_SAFE}, throughput, {_CALLERS} callers",
                ends.throughput_ratio(_SAFE, _CALLERS),
                2,
                is_upper=False,
            ),
            Goal(
                f"register, refusing all others / plain, throughput, {_CALLERS} callers",
                alone.throughput_ratio(_PLAIN, _CALLERS),
                0.7,
                is_upper=False,
            ),
            Goal(
                f"named register beside {_EARLY_STOPS:,} early stops / {_NO_STOPS}, throughput, "
                f"{_CALLERS} callers",
                flood.throughput_ratio(_NO_STOPS, _CALLERS),
                0.8,
                is_upper=False,
            ),
            Goal("interrupt_all, streams/s until all receipts are in", median(rates), 2_000, False),
        ],
        notes=[
            "The safe peer's transaction locks, reads and writes, statement by statement.",
            f"The {_STREAMS} streams of a session belong to a worker that has no process.",
        ],
        samples={"interrupt_all, streams/s": rates},
    )


async def _ends(bench: Bench, turns: Turns) -> Contest:
    async with (
        bench.database() as url,
        live_worker(url) as worker_id,
        _manager(url) as manager,
        SafeEnd.ready(url) as safe,
    ):
        rounds = count()
        left: Iterator[str] = iter(())

        async def refill() -> None:
            nonlocal left
            left = iter(await _sessions_to_end(url, worker_id, next(rounds)))

        async def end_ours(_: int) -> None:
            assert await manager.end_session(next(left))

        async def end_theirs(_: int) -> None:
            await safe.end(next(left))

        return await take_turns([Here(OURS, end_ours), Here(_SAFE, end_theirs)], turns, refill)


async def _sessions_to_end(url: str, worker_id: UUID, number: int) -> list[str]:
    """Sessions of their own for each round, with streams of a worker."""
    prefix = f"end-{number}-"
    async with connected(url) as connection:
        await connection.execute(
            f"INSERT INTO {DEFAULT_SCHEMA}.sessions "  # noqa: S608 - no input
            f"SELECT '{prefix}' || n, gen_random_uuid(), now(), now() "
            f"FROM generate_series(0, {_TO_END - 1}) n"
        )
        await connection.execute(
            f"INSERT INTO {DEFAULT_SCHEMA}.agent_streams "  # noqa: S608 - no input
            f"SELECT '{prefix}' || n, 'writer', 'w' || s, gen_random_uuid(), '{worker_id}', now() "
            f"FROM generate_series(0, {_TO_END - 1}) n, generate_series(1, {_STREAMS}) s"
        )
    await population.tidy(url)
    return [f"{prefix}{n}" for n in range(_TO_END)]


async def _alone(bench: Bench, turns: Turns) -> Contest:
    async with bench.database() as url, _manager(url) as manager:
        await population.live_sessions(url, _SESSIONS)

        async def tidy() -> None:
            await population.tidy(url)

        async def cycle(caller: int, **how: object) -> None:
            number = random.randrange(_SESSIONS)  # noqa: S311 - spreads load only
            # One of ten has a stream of its own, so the one behind it is taken instead.
            session = population.session_id(number + (number % 10 == 0))
            agent = AgentId("writer", f"caller-{caller}")
            stream_id = await manager.register_agent(session, agent, **how)  # type: ignore[arg-type]
            await manager.unmark_agent_streaming(session, agent, stream_id)

        async def plain(caller: int) -> None:
            await cycle(caller)

        async def refusing(caller: int) -> None:
            with suppress(SessionBusyError):  # another caller is there
                await cycle(caller, when_busy="refuse", alone=True)

        return await take_turns([Here(OURS, refusing), Here(_PLAIN, plain)], turns, tidy)


async def _flood(bench: Bench, turns: Turns) -> Contest:
    """Registrations that bring a name, where stops of others wait in vain, and where none do."""
    async with (
        bench.database() as flooded,
        bench.database() as quiet,
        _manager(flooded) as beside_stops,
        _manager(quiet) as alone,
    ):
        urls = (flooded, quiet)
        for url in urls:
            await population.live_sessions(url, _SESSIONS)
        async with connected(flooded) as connection:
            await connection.execute(
                f"INSERT INTO {DEFAULT_SCHEMA}.early_stops "  # noqa: S608 - no input
                "(stream_id, session_id, request_id, requested_at) "
                f"SELECT gen_random_uuid(), 's', gen_random_uuid(), now() "
                f"FROM generate_series(1, {_EARLY_STOPS})"
            )

        async def tidy() -> None:
            for url in urls:
                await population.tidy(url)

        def cycle(manager: SessionManager) -> Call:
            async def call(caller: int) -> None:
                session = population.session_id(random.randrange(_SESSIONS))  # noqa: S311 - spreads load only
                agent = AgentId("writer", f"caller-{caller}")
                stream_id = await manager.register_agent(session, agent, stream_id=uuid4())
                await manager.unmark_agent_streaming(session, agent, stream_id)

            return call

        contenders = [Here(OURS, cycle(beside_stops)), Here(_NO_STOPS, cycle(alone))]
        return await take_turns(contenders, turns, tidy)


async def _bulk(bench: Bench) -> float:
    """Streams a second, from the call until the last receipt is in."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(bench.database())
        manager = await stack.enter_async_context(_manager(url))
        each = str(_RUNAWAYS // _WORKERS)
        herds = [
            await stack.enter_async_context(
                PythonProcess.running("benchmarks.children.herd", url, f"herd-{n}", each, "0")
            )
            for n in range(_WORKERS)
        ]
        for herd in herds:
            assert await herd.line(within=120) == "streaming"
        began = time.perf_counter()
        done = await manager.interrupt_all(agent_type="runaway")
        assert done.streams == _RUNAWAYS, done
        while True:
            receipts = await manager.receipts(done.request_id)
            assert receipts is not None
            if not receipts.open:
                break
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        assert receipts.delivered == _RUNAWAYS, receipts
    return _RUNAWAYS / took


@asynccontextmanager
async def _manager(url: str) -> AsyncIterator[SessionManager]:
    repository = SQLAlchemySessionRepository.from_url(url)
    async with SessionManager(repository) as manager:
        yield manager
    await repository.close()


def _table(what: str, contest: Contest) -> Table:
    def ms(seconds: float) -> str:
        return f"{seconds * 1000:.1f}"

    rows = [
        [
            name,
            f"{contest.rate(name, _CALLERS):,.0f}",
            ms(contest.median_latency(name, _CALLERS)),
            ms(contest.p99_latency(name, _CALLERS)),
        ]
        for name in contest.windows
    ]
    return Table([f"{what}, {_CALLERS} callers", "calls/s", "median, ms", "p99, ms"], rows)
