"""The views of 0009, faster and with workers.

What is and what was stand in one UNION ALL whose parts have no condition of their own; the
condition is put on the whole, where each part names its `event`. Only so does PostgreSQL search the
indexes of the parts in the order that is asked for, and reads twenty rows to find the last twenty.
SQLite does so where the columns of the parts are of one affinity: hence the casts.
Whatever is looked up for each row is looked up outside, so what is not asked for costs nothing.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions import reports_0009
from session_router.database.definitions.definition import Definition
from session_router.database.definitions.reports_0004 import SESSION_ENDS, STREAM_OUTCOMES
from session_router.database.definitions.reports_words_0013 import Words, words_of

# In the words of the index.
STARTED: Final = "o.event = 'session_started' AND o.detail IS NOT NULL"
_OWNER: Final = f"""(
                    SELECT o.detail FROM @session_events o
                    WHERE o.session_uid = e.session_uid AND {STARTED}) AS owner"""
"""In the words of the index."""

_NO_TEXT: Final = "CAST(NULL AS text)"
REQUESTS: Final = f"'interrupt_requested', {SESSION_ENDS}"


def reports(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The views."""
    words = words_of(dialect)
    prefix = f"{schema}." if schema else ""
    selects = {
        "report_sessions": sessions(words, _OWNER),
        "report_streams": _streams(words),
        "report_interrupts": _interrupts(words),
        "report_agents": words.agents(STREAM_OUTCOMES, STARTED),
        "report_workers": _workers(),
    }
    before = {made.name: made for made in reports_0009.reports(dialect, schema)}
    made = {
        name: Definition(
            name,
            f"CREATE VIEW {prefix}{name} AS {select.replace('@', prefix)}",
            f"DROP VIEW IF EXISTS {prefix}{name}",
        )
        for name, select in selects.items()
    }
    return list((before | made).values())


def sessions(words: Words, owner: str) -> str:
    """The view of lives.

    Args:
        owner: what says whose the life of an event `e` was.
    """

    def counted(event: str, is_indexed: str = "") -> str:
        return f"""(
            SELECT count(*) FROM @session_events x
            WHERE x.session_uid = lives.session_uid AND x.event = '{event}'{is_indexed})"""

    return f"""
        SELECT session_id, session_uid, started_at, ended_at, ending,
            {words.seconds("started_at", "ended_at")} AS duration_sec,
            {counted("stream_started")} AS streams,
            {counted("interrupt_requested", f" AND x.event IN ({REQUESTS})")} AS interrupts,
            actor, reason, owner
        FROM (
            SELECT e.event, e.session_id, e.session_uid, e.started_at, e.occurred_at AS ended_at,
                CASE e.event WHEN 'session_ended' THEN 'ended' WHEN 'session_expired' THEN 'expired'
                    WHEN 'session_replaced' THEN 'replaced' END AS ending,
                e.actor, e.detail AS reason, {owner}
            FROM @session_events e
            UNION ALL
            SELECT CAST('session_ended' AS text) AS event, s.session_id, s.session_uid,
                s.start_time AS started_at, {words.no_time} AS ended_at, NULL AS ending,
                {_NO_TEXT} AS actor, {_NO_TEXT} AS reason, s.owner
            FROM @sessions s
        ) AS lives
        WHERE event IN ({SESSION_ENDS})"""


def _streams(words: Words) -> str:
    return f"""
        SELECT spans.session_id, spans.session_uid, spans.agent_type, spans.agent_key,
            spans.stream_id, spans.worker_id, spans.started_at, spans.ended_at, spans.outcome,
            {words.seconds("spans.started_at", "spans.ended_at")} AS duration_sec,
            spans.detail,
            coalesce(w.host, p.host) AS worker_host,
            coalesce(w.version, p.version) AS worker_version
        FROM (
            SELECT e.event, e.session_id, e.session_uid, e.agent_type, e.agent_key, e.stream_id,
                e.worker_id, e.started_at, e.occurred_at AS ended_at, e.outcome, e.detail
            FROM @session_events e
            UNION ALL
            SELECT CAST('stream_finished' AS text) AS event, a.session_id, s.session_uid,
                a.agent_type, a.agent_key, a.stream_id, a.worker_id, a.started_at,
                {words.no_time} AS ended_at, {_NO_TEXT} AS outcome, {_NO_TEXT} AS detail
            FROM @agent_streams a JOIN @sessions s ON s.session_id = a.session_id
        ) AS spans
        LEFT JOIN @workers w ON w.worker_id = spans.worker_id
        LEFT JOIN @past_workers p ON p.worker_id = spans.worker_id
        WHERE spans.event = 'stream_finished'"""


def _interrupts(words: Words) -> str:
    """Which request it was tells both who asked and what ended the stream; none: a takeover."""

    def asked(what: str) -> str:
        return f"""(
            SELECT min({what}) FROM @session_events r
            WHERE r.session_uid = orders.session_uid AND r.request_id = orders.request_id
            AND r.event IN ({REQUESTS}))"""

    cause = "CASE r.event WHEN 'interrupt_requested' THEN 'interrupted' ELSE r.event END"
    return f"""
        SELECT session_id, session_uid, agent_type, agent_key, stream_id, worker_id, request_id,
            requested_at, settled_at,
            coalesce({asked(cause)}, 'superseded') AS cause,
            {asked("r.actor")} AS actor, outcome, detail,
            {words.seconds("requested_at", "settled_at")} AS latency_sec
        FROM (
            SELECT e.event, e.session_id, e.session_uid, e.agent_type, e.agent_key, e.stream_id,
                e.worker_id, e.request_id, e.started_at AS requested_at,
                e.occurred_at AS settled_at, e.outcome, e.detail
            FROM @session_events e
            UNION ALL
            SELECT CAST('signal_settled' AS text) AS event, s.session_id, s.session_uid,
                s.agent_type, s.agent_key, s.stream_id, s.worker_id, s.request_id, s.requested_at,
                {words.no_time} AS settled_at, {_NO_TEXT} AS outcome, {_NO_TEXT} AS detail
            FROM @interrupt_signals s
        ) AS orders
        WHERE event = 'signal_settled'"""


def _workers() -> str:
    return """
        SELECT w.worker_id, w.host, w.pid, w.version, w.started_at, NULL AS ended_at, NULL AS how
        FROM @workers w
        UNION ALL
        SELECT p.worker_id, p.host, p.pid, p.version, p.started_at, p.ended_at, p.how
        FROM @past_workers p
        WHERE NOT EXISTS (SELECT 1 FROM @workers w WHERE w.worker_id = p.worker_id)"""
