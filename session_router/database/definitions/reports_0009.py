"""The views of 0005, with owners. Each new column comes last: so a view keeps its grants.

Whose a stream was, the start of its session's life tells: an index of those that have an owner,
which is empty where nobody has one.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions import reports_0004, reports_0005
from session_router.database.definitions.definition import Definition
from session_router.database.definitions.reports_0004 import (
    IDLE_OVER_SEC,
    STREAM_OUTCOMES,
    Words,
    words_of,
)


def reports(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The views."""
    words = words_of(dialect)
    prefix = f"{schema}." if schema else ""
    selects = {
        "report_sessions": _sessions(words),
        "report_agents": _agents(words),
        "report_activity": _activity(words),
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
        for before in reports_0005.reports(dialect, schema)
    ]


_STARTED: Final = "o.event = 'session_started' AND o.detail IS NOT NULL"
"""In the words of the index."""


def _sessions(words: Words) -> str:
    ended, live = reports_0005._sessions(words).split("UNION ALL")
    owner = f"""(
            SELECT o.detail FROM @session_events o
            WHERE o.session_uid = e.session_uid AND {_STARTED})"""
    ended = ended.replace("AS reason", f"AS reason, {owner} AS owner")
    live = live.replace("AS reason", "AS reason, s.owner")
    return f"{ended}UNION ALL{live}"


def _agents(words: Words) -> str:
    shares = ",\n".join(
        f"CAST(count(*) FILTER (WHERE outcome = '{outcome}') AS double precision) / count(*)"
        f" AS {outcome}_share"
        for outcome in STREAM_OUTCOMES
    )
    duration = words.seconds("e.started_at", "e.occurred_at")
    return f"""
        WITH RECURSIVE {reports_0004._calendar(words, "day")}
        SELECT agent_type, day, count(*) AS streams,
            min(duration_sec) FILTER (WHERE place >= 0.5) AS median_sec,
            min(duration_sec) FILTER (WHERE place >= 0.95) AS p95_sec,
            {shares}, owner
        FROM (
            SELECT e.agent_type, c.day, e.outcome, o.detail AS owner, {duration} AS duration_sec,
                cume_dist() OVER (
                    PARTITION BY c.day, e.agent_type, o.detail ORDER BY {duration}
                ) AS place
            FROM calendar c JOIN @session_events e
                ON e.occurred_at >= c.day AND e.occurred_at < c.day_after
            LEFT JOIN @session_events o ON o.session_uid = e.session_uid AND {_STARTED}
            WHERE {words.unindexed("e.event")} = 'stream_finished'
        ) AS finished
        GROUP BY agent_type, day, owner"""


def _activity(words: Words) -> str:
    def counted(event: str, name: str) -> str:
        return f"count(*) FILTER (WHERE e.event = '{event}') AS {name}"

    return f"""
        WITH RECURSIVE {reports_0004._calendar(words, "hour")}
        SELECT c.hour,
            {counted("session_started", "sessions_started")},
            {counted("session_ended", "sessions_ended")},
            {counted("session_expired", "sessions_expired")},
            {counted("session_replaced", "sessions_replaced")},
            {counted("stream_started", "streams_started")},
            {counted("stream_finished", "streams_finished")},
            {counted("interrupt_requested", "interrupts")},
            o.detail AS owner
        FROM calendar c LEFT JOIN @session_events e
            ON e.occurred_at >= c.hour AND e.occurred_at < c.hour_after
        LEFT JOIN @session_events o ON o.session_uid = e.session_uid AND {_STARTED}
        GROUP BY c.hour, o.detail"""


def _backlog(words: Words) -> str:
    """Those with a timeout of their own stand in an index of theirs."""
    idle = f"last_updated < {words.ago('b.over_sec')}"
    bounds = ", ".join(f"({seconds})" for seconds in IDLE_OVER_SEC)

    def counted(own: str) -> str:
        these = f"@sessions WHERE timeout_minutes IS {own} AND {idle}"
        return f"""
                SELECT b.over_sec, (SELECT count(*) FROM {these}) AS items,
                    (SELECT min(last_updated) FROM {these}) AS oldest_at
                FROM bounds b"""

    return f"""
        WITH bounds(over_sec) AS (VALUES {bounds})
        SELECT kind, over_sec, items, oldest_at,
            {words.seconds("oldest_at", words.now)} AS oldest_sec
        FROM (
            SELECT 'idle_sessions' AS kind, over_sec, CAST(sum(items) AS bigint) AS items,
                min(oldest_at) AS oldest_at
            FROM ({counted("NULL")}
                UNION ALL{counted("NOT NULL")}
            ) AS idle
            GROUP BY over_sec
            UNION ALL
            SELECT 'unsettled_signals' AS kind, 0 AS over_sec, count(*) AS items,
                min(requested_at) AS oldest_at
            FROM @interrupt_signals
        ) AS waiting"""
