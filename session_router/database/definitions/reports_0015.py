"""The views of 0013, faster on PostgreSQL.

Whose a life was is asked only where any life has an owner. The events of an hour are counted kind
by kind, from an index that has all that is asked for. An agent's lengths are ranked as they are,
and only one that was chosen is made a number.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence
from typing import Final

from session_router.database.definitions import reports_0004, reports_0013
from session_router.database.definitions.definition import Definition
from session_router.database.definitions.reports_0004 import STREAM_OUTCOMES
from session_router.database.definitions.reports_0013 import STARTED
from session_router.database.definitions.reports_words_0013 import words_of

_COUNTED: Final = {
    "sessions_started": "session_started",
    "sessions_ended": "session_ended",
    "sessions_expired": "session_expired",
    "sessions_replaced": "session_replaced",
    "streams_started": "stream_started",
    "streams_finished": "stream_finished",
    "interrupts": "interrupt_requested",
}
_OWNER: Final = f"""
                    CASE WHEN EXISTS (SELECT FROM @session_events o WHERE {STARTED}) THEN (
                        SELECT o.detail FROM @session_events o
                        WHERE o.session_uid = e.session_uid AND {STARTED}
                    ) END AS owner"""


def reports(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The views."""
    before = reports_0013.reports(dialect, schema)
    if dialect == "sqlite":
        return before
    selects = {
        "report_sessions": reports_0013.sessions(words_of("postgresql"), _OWNER),
        "report_agents": _agents(),
        "report_activity": _activity(),
    }
    prefix = f"{schema}."
    return [
        Definition(
            made.name,
            f"CREATE VIEW {prefix}{made.name} AS {selects[made.name].replace('@', prefix)}",
            made.drop,
        )
        if made.name in selects
        else made
        for made in before
    ]


def _agents() -> str:
    def ranked(share: float) -> str:
        length = f"percentile_disc({share}) WITHIN GROUP (ORDER BY length)"
        return f"CAST(extract(epoch FROM {length}) AS double precision)"

    shares = ",\n".join(
        f"CAST(count(*) FILTER (WHERE outcome = '{of}') AS double precision) / count(*)"
        f" AS {of}_share"
        for of in STREAM_OUTCOMES
    )
    return f"""
        WITH RECURSIVE {_calendar("day")}
        SELECT of_day.agent_type, CAST(c.day AT TIME ZONE 'UTC' AS date) AS day, of_day.streams,
            of_day.median_sec, of_day.p95_sec,
            {", ".join(f"of_day.{outcome}_share" for outcome in STREAM_OUTCOMES)}, of_day.owner
        FROM calendar c CROSS JOIN LATERAL (
            SELECT agent_type, owner, count(*) AS streams,
                {ranked(0.5)} AS median_sec, {ranked(0.95)} AS p95_sec,
                {shares}
            FROM (
                SELECT e.agent_type, e.outcome, e.occurred_at - e.started_at AS length, {_OWNER}
                FROM @session_events e
                WHERE e.event = 'stream_finished'
                    AND e.occurred_at >= c.day AND e.occurred_at < c.day_after
            ) AS finished
            GROUP BY agent_type, owner
        ) AS of_day"""


def _activity() -> str:
    def counted(event: str) -> str:
        return f"CAST(sum(events) FILTER (WHERE event = '{event}') AS bigint)"

    return f"""
        WITH RECURSIVE {_calendar("hour")}
        SELECT c.hour,
            {", ".join(f"coalesce(of_hour.{name}, 0) AS {name}" for name in _COUNTED)},
            of_hour.owner
        FROM calendar c LEFT JOIN LATERAL (
            SELECT owner, {", ".join(f"{counted(_COUNTED[name])} AS {name}" for name in _COUNTED)}
            FROM (
                SELECT event, owner, count(*) AS events
                FROM (
                    SELECT e.event, {_OWNER}
                    FROM @session_events e
                    WHERE e.occurred_at >= c.hour AND e.occurred_at < c.hour_after
                ) AS happened
                GROUP BY event, owner
            ) AS of_kind
            GROUP BY owner
        ) AS of_hour ON true"""


def _calendar(unit: str) -> str:
    return reports_0004._calendar(reports_0004.words_of("postgresql"), unit)
