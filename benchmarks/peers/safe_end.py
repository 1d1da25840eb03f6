"""The end of a session by hand: asyncpg, in the safe order, statement by statement."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import asyncpg

from benchmarks.bench import plain
from session_router.settings import DEFAULT_SCHEMA

_POOL_SIZE: Final = 16
_LOCK: Final = f"""
SELECT session_uid, start_time FROM {DEFAULT_SCHEMA}.sessions WHERE session_id = $1 FOR UPDATE
"""  # noqa: S608 - a constant
_STREAMS: Final = f"""
SELECT agent_type, agent_key, stream_id, worker_id, started_at, clock_timestamp() AS now
FROM {DEFAULT_SCHEMA}.agent_streams WHERE session_id = $1
ORDER BY agent_type, agent_key FOR UPDATE
"""  # noqa: S608 - a constant
_REMOVE: Final = f"""
DELETE FROM {DEFAULT_SCHEMA}.agent_streams WHERE session_id = $1
"""  # noqa: S608 - a constant
_EVENT: Final = f"""
INSERT INTO {DEFAULT_SCHEMA}.session_events
    (occurred_at, session_id, session_uid, event, agent_type, agent_key, stream_id, worker_id,
    request_id, started_at, outcome)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""  # noqa: S608 - a constant
_SIGNAL: Final = f"""
INSERT INTO {DEFAULT_SCHEMA}.interrupt_signals
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'cancel_and_remove', $9)
"""  # noqa: S608 - a constant
_END: Final = f"""
DELETE FROM {DEFAULT_SCHEMA}.sessions WHERE session_id = $1
"""  # noqa: S608 - a constant


class SafeEnd:
    """Ends sessions with their streams, each in a transaction of its own."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def ready(cls, url: str) -> AsyncIterator["SafeEnd"]:
        async with asyncpg.create_pool(
            plain(url), min_size=_POOL_SIZE, max_size=_POOL_SIZE
        ) as pool:
            yield cls(pool)

    async def end(self, session_id: str) -> None:
        request_id = uuid4()
        async with self._pool.acquire() as connection, connection.transaction():
            session = await connection.fetchrow(_LOCK, session_id)
            assert session is not None
            uid, start_time = session
            streams = await connection.fetch(_STREAMS, session_id)
            now = streams[0]["now"]
            await connection.execute(_REMOVE, session_id)
            finished = [
                (now, session_id, uid, "stream_finished", *stream[:4], request_id, stream[4],
                 "session_ended")
                for stream in streams
            ]  # fmt: skip
            await connection.executemany(_EVENT, finished)
            signals = [
                (uuid4(), stream[3], request_id, session_id, uid, *stream[:3], now)
                for stream in streams
            ]
            await connection.executemany(_SIGNAL, signals)
            for worker_id in {stream[3] for stream in streams}:
                await connection.execute(f"NOTIFY session_router_{worker_id.hex}")
            ended = now, session_id, uid, "session_ended", *[None] * 4, request_id, start_time, None
            await connection.execute(_EVENT, *ended)
            await connection.execute(_END, session_id)
