"""The views of 0005, with owners. Each new column comes last: so a view keeps its grants.

Whose a stream was, the start of its session's life tells: an index of those that have an owner,
which is empty where nobody has one.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence

from session_router.database.definitions import reports_0004, reports_0005
from session_router.database.definitions.definition import Definition
from session_router.database.definitions.reports_0004 import IDLE_OVER_SEC, Words, words_of


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


def _owner(of: str) -> str:
    return f"""(
            SELECT o.detail FROM @session_events o
            WHERE o.session_uid = {of}.session_uid
            AND o.event = 'session_started' AND o.detail IS NOT NULL)"""


def _sessions(words: Words) -> str:
    ended, live = reports_0005._sessions(words).split("UNION ALL")
    ended = ended.replace("AS reason", f"AS reason, {_owner('e')} AS owner")
    live = live.replace("AS reason", "AS reason, s.owner")
    return f"{ended}UNION ALL{live}"


def _agents(words: Words) -> str:
    of_day = "PARTITION BY c.day, e.agent_type"
    return (
        reports_0004._agents(words)
        .replace("GROUP BY agent_type, day", "GROUP BY agent_type, day, owner")
        .replace("_share\n        FROM (", "_share, owner\n        FROM (")
        .replace("e.outcome, ", f"e.outcome, {_owner('e')} AS owner, ", 1)
        .replace(of_day, f"{of_day}, {_owner('e')}")
    )


def _activity(words: Words) -> str:
    return (
        reports_0004._activity(words)
        .replace("AS interrupts", f"AS interrupts, {_owner('e')} AS owner")
        .replace("GROUP BY c.hour", "GROUP BY c.hour, 9")
    )


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
