"""The conservation laws in SQL, for databases too large to be read; each query finds breaches."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_SIGNALLED: Final = (
    "'interrupted', 'superseded', 'session_ended', 'session_expired', 'session_replaced'"
)
_ENDS: Final = "'session_ended', 'session_expired', 'session_replaced'"

_LAWS: Final = {
    "one start a stream; then a live row or one end": """
        SELECT stream_id FROM (
            SELECT stream_id, event = 'stream_started' AS is_start FROM @session_events
            WHERE event IN ('stream_started', 'stream_finished')
            UNION ALL SELECT stream_id, false FROM @agent_streams
        ) AS rows GROUP BY stream_id
        HAVING count(*) <> 2 OR count(*) FILTER (WHERE is_start) <> 1""",
    "one start a session; then a live row or one end": f"""
        SELECT session_uid FROM (
            SELECT session_uid, event = 'session_started' AS is_start FROM @session_events
            WHERE event IN ('session_started', {_ENDS})
            UNION ALL SELECT session_uid, false FROM @sessions
        ) AS rows GROUP BY session_uid
        HAVING count(*) <> 2 OR count(*) FILTER (WHERE is_start) <> 1""",
    "a signal, open or settled, exactly where a stream was stopped": f"""
        SELECT stream_id FROM (
            SELECT stream_id, 1 AS wanted FROM @session_events
            WHERE event = 'stream_finished' AND outcome IN ({_SIGNALLED})
            UNION ALL SELECT stream_id, -1 FROM @session_events WHERE event = 'signal_settled'
            UNION ALL SELECT stream_id, -1 FROM @interrupt_signals
        ) AS rows GROUP BY stream_id
        HAVING sum(wanted) <> 0 OR count(*) > 2""",
    "a beginning, before the end, in terminal rows and in no others": f"""
        SELECT event_id FROM @session_events
        WHERE started_at > occurred_at OR (
            -- A request has one where it came before its stream.
            event <> 'interrupt_requested' AND (started_at IS NOT NULL) <> (
                event IN ('stream_finished', 'signal_settled', {_ENDS})
            )
        )""",
}


async def breaches(conn: AsyncConnection) -> dict[str, int]:
    """How often each law is broken; none that holds."""
    prefix = "" if conn.dialect.name == "sqlite" else "session_router."
    found = {}
    for law, query in _LAWS.items():
        counted = f"SELECT count(*) FROM ({query}) AS breaches".replace("@", prefix)
        if number := (await conn.execute(text(counted))).scalar_one():
            found[law] = number
    return found
