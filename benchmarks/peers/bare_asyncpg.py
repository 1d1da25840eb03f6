"""The same work by hand: asyncpg, its prepared statements, and a pool of its best size."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from benchmarks.bench import live_worker, plain
from session_router.settings import DEFAULT_SCHEMA

_POOL_SIZE: Final = 16

TOUCH: Final = f"""
UPDATE {DEFAULT_SCHEMA}.sessions s
SET last_updated = greatest(last_updated, clock_timestamp())
WHERE session_id = $1
RETURNING session_id, start_time, last_updated, ARRAY(
    SELECT agent_type || '/' || agent_key FROM {DEFAULT_SCHEMA}.agent_streams a
    WHERE a.session_id = s.session_id)
"""  # noqa: S608 - a constant

# One statement a change is as fast as it gets, and racy: its snapshot is older than its locks.
_RACY_REGISTER: Final = f"""
WITH touched AS (
    UPDATE {DEFAULT_SCHEMA}.sessions
    SET last_updated = greatest(last_updated, clock_timestamp())
    WHERE session_id = $1
    RETURNING session_uid
), opened AS (
    INSERT INTO {DEFAULT_SCHEMA}.agent_streams
        (session_id, agent_type, agent_key, stream_id, worker_id, started_at)
    SELECT $1, $2, $3, $4, $5, clock_timestamp() FROM touched
    RETURNING started_at
)
INSERT INTO {DEFAULT_SCHEMA}.session_events
    (occurred_at, session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id)
SELECT started_at, $1, session_uid, 'stream_started', $2, $3, $4, $5 FROM touched, opened
"""  # noqa: S608 - a constant
_RACY_UNMARK: Final = f"""
WITH gone AS (
    DELETE FROM {DEFAULT_SCHEMA}.agent_streams
    WHERE session_id = $1 AND agent_type = $2 AND agent_key = $3 AND stream_id = $4
    RETURNING worker_id, started_at
)
INSERT INTO {DEFAULT_SCHEMA}.session_events
    (session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id, started_at,
    outcome)
SELECT $1, session_uid, 'stream_finished', $2, $3, $4, worker_id, started_at, 'completed'
FROM gone, {DEFAULT_SCHEMA}.sessions WHERE session_id = $1
"""  # noqa: S608 - a constant

# The same in the safe order: fence, lock, then read and write.
_FENCE: Final = f"""
SELECT 1 FROM {DEFAULT_SCHEMA}.workers WHERE worker_id = $1 FOR KEY SHARE
"""  # noqa: S608 - a constant
_LOCK_AND_TOUCH: Final = f"""
UPDATE {DEFAULT_SCHEMA}.sessions
SET last_updated = greatest(last_updated, clock_timestamp())
WHERE session_id = $1
RETURNING session_uid
"""  # noqa: S608 - a constant
_STREAM: Final = f"""
SELECT stream_id, worker_id FROM {DEFAULT_SCHEMA}.agent_streams
WHERE session_id = $1 AND agent_type = $2 AND agent_key = $3 FOR UPDATE
"""  # noqa: S608 - a constant
_OPEN: Final = f"""
INSERT INTO {DEFAULT_SCHEMA}.agent_streams
    (session_id, agent_type, agent_key, stream_id, worker_id, started_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp()) RETURNING started_at
"""  # noqa: S608 - a constant
_TELL_STARTED: Final = f"""
INSERT INTO {DEFAULT_SCHEMA}.session_events
    (occurred_at, session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id)
VALUES ($1, $2, $3, 'stream_started', $4, $5, $6, $7)
"""  # noqa: S608 - a constant
_CLOSE: Final = f"""
DELETE FROM {DEFAULT_SCHEMA}.agent_streams
WHERE session_id = $1 AND agent_type = $2 AND agent_key = $3 AND stream_id = $4
RETURNING worker_id, started_at
"""  # noqa: S608 - a constant
_TELL_FINISHED: Final = f"""
INSERT INTO {DEFAULT_SCHEMA}.session_events
    (session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id, started_at,
    outcome)
SELECT $1, session_uid, 'stream_finished', $2, $3, $4, $5, $6, 'completed'
FROM {DEFAULT_SCHEMA}.sessions WHERE session_id = $1
"""  # noqa: S608 - a constant


class BareAsyncpg:
    """Touches, and cycles of registering and unmarking an agent."""

    def __init__(self, pool: "asyncpg.Pool[Any]", worker_id: UUID) -> None:
        self._pool = pool
        self._worker_id = worker_id

    @classmethod
    @asynccontextmanager
    async def ready(
        cls, url: str, *, size: int = _POOL_SIZE, resets: bool = True
    ) -> AsyncIterator["BareAsyncpg"]:
        """Connected.

        Args:
            size: how many connections its pool has.
            resets: leave asyncpg's pool its habit of resetting a connection after each use.
        """
        options: dict[str, Any] = {} if resets else {"reset": _leave_as_is}
        async with (
            live_worker(url) as worker_id,
            asyncpg.create_pool(plain(url), min_size=size, max_size=size, **options) as pool,
        ):
            yield cls(pool, worker_id)

    async def touch(self, session_id: str) -> None:
        assert await self._pool.fetchrow(TOUCH, session_id) is not None

    async def racy_cycle(self, session_id: str, agent_type: str, agent_key: str) -> None:
        stream = session_id, agent_type, agent_key, uuid4()
        opened = await self._pool.execute(_RACY_REGISTER, *stream, self._worker_id)
        closed = await self._pool.execute(_RACY_UNMARK, *stream)
        assert opened == closed == "INSERT 0 1", (opened, closed)

    async def safe_cycle(self, session_id: str, agent_type: str, agent_key: str) -> None:
        agent, stream_id = (agent_type, agent_key), uuid4()
        async with self._pool.acquire() as connection, connection.transaction():
            assert await connection.fetchval(_FENCE, self._worker_id) == 1
            session_uid = await connection.fetchval(_LOCK_AND_TOUCH, session_id)
            assert await connection.fetchrow(_STREAM, session_id, *agent) is None
            opened = await connection.fetchval(
                _OPEN, session_id, *agent, stream_id, self._worker_id
            )
            started = opened, session_id, session_uid, *agent, stream_id, self._worker_id
            await connection.execute(_TELL_STARTED, *started)
        async with self._pool.acquire() as connection, connection.transaction():
            closed = await connection.fetchrow(_CLOSE, session_id, *agent, stream_id)
            assert closed is not None
            await connection.execute(_TELL_FINISHED, session_id, *agent, stream_id, *closed)


async def _leave_as_is(_: "asyncpg.Connection[Any]") -> None:
    """Single statements leave nothing behind that would have to be reset."""
