"""The views of 0004, in which every column has a name, in each part of a UNION too.

For one that has none PostgreSQL finds a name when it reads the definition, and another one when it
reads its own words again: after a dump and its restoration the view was defined differently.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence

from session_router.database.definitions import reports_0004
from session_router.database.definitions.definition import Definition
from session_router.database.definitions.reports_0004 import (
    IDLE_OVER_SEC,
    SESSION_ENDS,
    Words,
    words_of,
)


def reports(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The views."""
    words = words_of(dialect)
    prefix = f"{schema}." if schema else ""
    selects = {
        "report_sessions": _sessions(words),
        "report_streams": _streams(words),
        "report_interrupts": _interrupts(words),
        "report_backlog": _backlog(words),
    }
    return [
        Definition(
            before.name,
            f"CREATE VIEW {prefix}{before.name} AS {selects[before.name].replace('@', prefix)}",
            before.drop,
        )
        if before.name in selects
        else before
        for before in reports_0004.reports(dialect, schema)
    ]


def _sessions(words: Words) -> str:
    def counted(event: str, of: str) -> str:
        return f"""(
            SELECT count(*) FROM @session_events x
            WHERE x.session_id = {of}.session_id AND x.session_uid = {of}.session_uid
            AND x.event = '{event}')"""

    return f"""
        SELECT e.session_id, e.session_uid, e.started_at, e.occurred_at AS ended_at,
            CASE e.event WHEN 'session_ended' THEN 'ended' WHEN 'session_expired' THEN 'expired'
                WHEN 'session_replaced' THEN 'replaced' END AS ending,
            {words.seconds("e.started_at", "e.occurred_at")} AS duration_sec,
            {counted("stream_started", "e")} AS streams,
            {counted("interrupt_requested", "e")} AS interrupts,
            e.actor, e.detail AS reason
        FROM @session_events e WHERE e.event IN ({SESSION_ENDS})
        UNION ALL
        SELECT s.session_id, s.session_uid, s.start_time AS started_at, NULL AS ended_at,
            NULL AS ending, NULL AS duration_sec,
            {counted("stream_started", "s")} AS streams,
            {counted("interrupt_requested", "s")} AS interrupts,
            NULL AS actor, NULL AS reason
        FROM @sessions s"""


def _streams(words: Words) -> str:
    return f"""
        SELECT e.session_id, e.session_uid, e.agent_type, e.agent_key, e.stream_id, e.worker_id,
            e.started_at, e.occurred_at AS ended_at, e.outcome,
            {words.seconds("e.started_at", "e.occurred_at")} AS duration_sec
        FROM @session_events e WHERE e.event = 'stream_finished'
        UNION ALL
        SELECT a.session_id, s.session_uid, a.agent_type, a.agent_key, a.stream_id, a.worker_id,
            a.started_at, NULL AS ended_at, NULL AS outcome, NULL AS duration_sec
        FROM @agent_streams a JOIN @sessions s ON s.session_id = a.session_id"""


def _interrupts(words: Words) -> str:
    def cause(of: str) -> str:
        return f"""(
            SELECT min(f.outcome) FROM @session_events f
            WHERE f.session_id = {of}.session_id AND f.stream_id = {of}.stream_id
            AND f.event = 'stream_finished')"""

    def actor(of: str) -> str:
        return f"""(
            SELECT min(r.actor) FROM @session_events r
            WHERE r.session_id = {of}.session_id AND r.request_id = {of}.request_id
            AND r.event IN ('interrupt_requested', {SESSION_ENDS}))"""

    return f"""
        SELECT e.session_id, e.session_uid, e.agent_type, e.agent_key, e.stream_id, e.worker_id,
            e.request_id, e.started_at AS requested_at, e.occurred_at AS settled_at,
            {cause("e")} AS cause, {actor("e")} AS actor, e.outcome, e.detail,
            {words.seconds("e.started_at", "e.occurred_at")} AS latency_sec
        FROM @session_events e WHERE e.event = 'signal_settled'
        UNION ALL
        SELECT s.session_id, s.session_uid, s.agent_type, s.agent_key, s.stream_id, s.worker_id,
            s.request_id, s.requested_at, NULL AS settled_at,
            {cause("s")} AS cause, {actor("s")} AS actor, NULL AS outcome, NULL AS detail,
            NULL AS latency_sec
        FROM @interrupt_signals s"""


def _backlog(words: Words) -> str:
    idle = f"last_updated < {words.ago('b.over_sec')}"
    bounds = ", ".join(f"({seconds})" for seconds in IDLE_OVER_SEC)
    return f"""
        WITH bounds(over_sec) AS (VALUES {bounds})
        SELECT kind, over_sec, items, oldest_at,
            {words.seconds("oldest_at", words.now)} AS oldest_sec
        FROM (
            SELECT 'idle_sessions' AS kind, b.over_sec,
                (SELECT count(*) FROM @sessions WHERE {idle}) AS items,
                (SELECT min(last_updated) FROM @sessions WHERE {idle}) AS oldest_at
            FROM bounds b
            UNION ALL
            SELECT 'unsettled_signals' AS kind, 0 AS over_sec, count(*) AS items,
                min(requested_at) AS oldest_at
            FROM @interrupt_signals
        ) AS waiting"""
