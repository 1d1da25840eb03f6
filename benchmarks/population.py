"""Fills databases with sessions and streams, by SQL, in seconds."""

from typing import Final
from uuid import UUID, uuid4

from benchmarks.bench import connected
from session_router.repository.records import NO_WORKER
from session_router.settings import DEFAULT_SCHEMA

_STREAMING_EVERY: Final = 10


def session_id(number: int) -> str:
    """The id of a session that `live_sessions` made."""
    return f"session-{number}"


async def live_sessions(url: str, number: int) -> None:
    """Sessions that were just begun; in one of ten an agent streams, of no worker."""
    await _insert(url, "'session-' || n", number, "now()", NO_WORKER)


async def expired_sessions(url: str, number: int, live: int) -> None:
    """Sessions that are idle for hours, beside so many live ones; streams in them have a worker.

    They lie together in the table, as sessions do that were begun at the same time, and are
    spread over the whole range of the ids.
    """
    idle_since = "now() - interval '2 hours' + n * interval '1 millisecond'"
    session_id = f"'session-' || n * {max(live // number, 1)} || '-idle'"
    await _insert(url, session_id, number, idle_since, uuid4())


def expired_id(number: int, expired: int, live: int) -> str:
    """The id of a session that `expired_sessions` made."""
    return f"session-{number * max(live // expired, 1)}-idle"


async def tidy(url: str) -> None:
    """Vacuum, and write out what is dirty, so that no window pays for the one before."""
    async with connected(url) as connection:
        await connection.execute(f"VACUUM ANALYZE {DEFAULT_SCHEMA}.sessions")
        await connection.execute(f"VACUUM ANALYZE {DEFAULT_SCHEMA}.agent_streams")
        await connection.execute("CHECKPOINT")


async def _insert(url: str, session_id: str, number: int, time: str, worker_id: UUID) -> None:
    """Insert sessions that are numbered by `n`, and streams in one of ten; then tidy up."""
    async with connected(url) as connection:
        await connection.execute(
            f"INSERT INTO {DEFAULT_SCHEMA}.sessions "  # noqa: S608 - no input
            f"SELECT {session_id}, gen_random_uuid(), {time}, {time} "
            f"FROM generate_series(0, {number - 1}) n"
        )
        await connection.execute(
            f"INSERT INTO {DEFAULT_SCHEMA}.agent_streams "  # noqa: S608 - no input
            f"SELECT {session_id}, 'reader', 'resident', gen_random_uuid(), '{worker_id}', {time} "
            f"FROM generate_series(0, {number - 1}, {_STREAMING_EVERY}) n"
        )
    await tidy(url)
