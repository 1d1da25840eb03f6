"""Touches on an SQLite file, against one transaction a call."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiosqlite

from benchmarks import population
from benchmarks.bench import Bench
from benchmarks.contenders import OURS, Contest, Here, Turns, so_many_callers, take_turns
from benchmarks.load import Length
from benchmarks.peers.orm import Orm
from benchmarks.report import Goal, Report, Table
from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.database.migrate import Target, upgrade

_PEER: Final = "SQLAlchemy ORM, one transaction a call"
_BARE: Final = "aiosqlite, one transaction a call"
_BLOCKING: Final = "sqlite3 in the caller's thread"
_GOAL: Final = 10.0
_SESSIONS: Final = 100_000
_CALLERS: Final = (1, 64)
# A disk of the checkout's: where temporary files go may be memory, on which a commit is free.
_BUILD: Final = Path(__file__).parents[1] / "build"

_FILL: Final = f"""
WITH RECURSIVE numbers (n) AS (
    SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {_SESSIONS - 1}
)
INSERT INTO sessions (session_id, session_uid, start_time, last_updated)
SELECT 'session-' || n, printf('00000000-0000-4000-8000-%012d', n),
    strftime('%Y-%m-%d %H:%M:%f000', 'now'), strftime('%Y-%m-%d %H:%M:%f000', 'now')
FROM numbers;
INSERT INTO agent_streams
    (session_id, agent_type, agent_key, stream_id, worker_id, started_at)
SELECT session_id, 'reader', 'resident', session_uid, '00000000-0000-0000-0000-000000000000',
    start_time
FROM sessions WHERE session_id LIKE '%0';
"""  # noqa: S608 - a constant
_PRAGMAS: Final = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
_TOUCH: Final = """
UPDATE sessions SET last_updated = max(last_updated, strftime('%Y-%m-%d %H:%M:%f000', 'now'))
WHERE session_id = ? RETURNING *
"""
_AGENTS: Final = "SELECT agent_type, agent_key FROM agent_streams WHERE session_id = ?"


async def measure(bench: Bench) -> Report:
    rounds, length = (1, Length(0.2, 1.0)) if bench.quick else (3, Length(1.0, 4.0))
    async with AsyncExitStack() as stack:
        file = stack.enter_context(_file())
        await upgrade(Target(f"sqlite:///{file}"))
        manager = await stack.enter_async_context(_manager(file))
        blocking = _Blocking(stack.enter_context(_filled(file)))
        bare = await stack.enter_async_context(_Bare.opened(file))
        orm = await stack.enter_async_context(Orm.on_sqlite(file, _PRAGMAS))

        async def touch(_: int) -> None:
            assert await manager.get_session(_some_session()) is not None

        contenders = [
            Here(OURS, touch),
            Here(_PEER, lambda _: orm.touch(_some_session())),
            Here(_BARE, bare.touch),
            Here(_BLOCKING, blocking.touch),
        ]
        contest = await take_turns(contenders, Turns(_CALLERS, rounds, length), blocking.tidy)
    return _report(contest)


@contextmanager
def _file() -> Iterator[Path]:
    _BUILD.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=_BUILD) as folder:
        yield Path(folder) / "sessions.db"


@asynccontextmanager
async def _manager(file: Path) -> AsyncIterator[SessionManager]:
    repository = SQLAlchemySessionRepository.from_url(f"sqlite:///{file}")
    yield SessionManager(repository)
    await repository.close()


@contextmanager
def _filled(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        connection.executescript(_FILL)
        yield connection


class _Bare:
    """The same touch by hand: aiosqlite, whose callers take turns at one connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._turns = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, file: Path) -> AsyncIterator["_Bare"]:
        async with aiosqlite.connect(file, isolation_level=None) as connection:
            for pragma in _PRAGMAS:
                await connection.execute(pragma)
            yield cls(connection)

    async def touch(self, _: int) -> None:
        session_id = _some_session()
        async with self._turns:
            await self._connection.execute_fetchall("BEGIN IMMEDIATE")
            touched = await self._connection.execute_fetchall(_TOUCH, [session_id])
            await self._connection.execute_fetchall(_AGENTS, [session_id])
            await self._connection.execute_fetchall("COMMIT")
        assert len(list(touched)) == 1


class _Blocking:
    """The least that one transaction a call costs, with the event loop standing still."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def touch(self, _: int) -> None:
        session_id = _some_session()
        self._connection.execute("BEGIN IMMEDIATE")
        assert len(self._connection.execute(_TOUCH, [session_id]).fetchall()) == 1
        self._connection.execute(_AGENTS, [session_id]).fetchall()
        self._connection.execute("COMMIT")

    async def tidy(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _some_session() -> str:
    return population.session_id(random.randrange(_SESSIONS))  # noqa: S311 - spreads load only


def _report(contest: Contest) -> Report:
    rows = [
        [name, *(f"{contest.rate(name, callers):,.0f}" for callers in _CALLERS)]
        for name in contest.windows
    ]
    callers = _CALLERS[-1]
    return Report(
        "Touches on an SQLite file",
        tables=[Table(["touches/s", *(so_many_callers(n) for n in _CALLERS)], rows)],
        goals=[
            Goal(
                f"touch / {peer}, throughput, {so_many_callers(callers)}",
                contest.throughput_ratio(peer, callers),
                _GOAL,
                is_upper=False,
            )
            for peer in (_PEER, _BARE)
        ],
        notes=[
            f"{_SESSIONS:,} sessions; WAL and synchronous = FULL for all.",
            "sqlite3 in the caller's thread is for comparison: it stops the event loop meanwhile.",
        ],
        samples={
            f"touches/s, {name}, {callers}": [window.rate for window in windows]
            for name, by_callers in contest.windows.items()
            for callers, windows in by_callers.items()
        },
    )
