"""Views for reports: the same columns on both databases, lengths of time in seconds.

Shaped for bounds in time. Where a view tells of single things, the bounded column is a table's own
in each branch, so that a WHERE on it reaches the index there. Where it tells of hours or days,
it begins with these and looks up the events of each, so that those left out cost nothing.
"""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from session_router.database.definitions.definition import Definition

SESSION_ENDS: Final = "'session_ended', 'session_expired', 'session_replaced'"
STREAM_OUTCOMES: Final = (
    "completed",
    "failed",
    "abandoned",
    "interrupted",
    "superseded",
    "session_ended",
    "session_expired",
    "session_replaced",
    "worker_lost",
    "worker_stopped",
)
IDLE_OVER_SEC: Final = (300, 900, 1_800, 3_600, 14_400, 86_400)


class Words(Protocol):
    """What the two databases say differently."""

    @property
    def now(self) -> str:
        """The time of the statement; one that an index can be searched for."""

    def seconds(self, start: str, end: str) -> str:
        """From one time to another."""

    def ago(self, seconds: str) -> str:
        """The time so many seconds before now."""

    def unindexed(self, column: str) -> str:
        """The column, where an index made for the query would be dearer than the one there is."""

    def floor(self, unit: str, time: str) -> str:
        """The beginning of the UTC hour or day."""

    def next(self, unit: str, time: str) -> str:
        """The time an hour or a day later."""


@dataclass(frozen=True)
class _OnPostgresql:
    # Not clock_timestamp(): an index cannot be searched for what changes from row to row.
    now: str = "statement_timestamp()"

    def seconds(self, start: str, end: str) -> str:
        return f"CAST(extract(epoch FROM {end} - {start}) AS double precision)"

    def ago(self, seconds: str) -> str:
        return f"{self.now} - make_interval(secs => {seconds})"

    def unindexed(self, column: str) -> str:
        return column

    def floor(self, unit: str, time: str) -> str:
        return f"date_trunc('{unit}', {time}, 'UTC')"

    def next(self, unit: str, time: str) -> str:
        # In hours, since a day of the session's time zone may have 23 or 25.
        return f"{time} + interval '{_HOURS[unit]} hours'"


@dataclass(frozen=True)
class _OnSqlite:
    now: str = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"

    def seconds(self, start: str, end: str) -> str:
        # Whole seconds and microseconds each by themselves: SQLite's own dates end at milliseconds.
        whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
        return f"({whole} + (substr({end}, 21) - substr({start}, 21)) / 1000000.0)"

    def ago(self, seconds: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || {seconds} || ' seconds')"

    def unindexed(self, column: str) -> str:
        return f"+{column}"

    def floor(self, unit: str, time: str) -> str:
        width, rest = {"hour": (13, ":00:00.000000"), "day": (10, " 00:00:00.000000")}[unit]
        return f"substr({time}, 1, {width}) || '{rest}'"

    def next(self, unit: str, time: str) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S.000000', {time}, '+{_HOURS[unit]} hours')"


_HOURS: Final = {"hour": 1, "day": 24}


def words_of(dialect: str) -> Words:
    return _OnSqlite() if dialect == "sqlite" else _OnPostgresql()


def reports(dialect: str, schema: str | None) -> Sequence[Definition]:
    """The views."""
    words = words_of(dialect)
    prefix = f"{schema}." if schema else ""
    selects = {
        "report_sessions": _sessions(words),
        "report_streams": _streams(words),
        "report_interrupts": _interrupts(words),
        "report_agents": _agents(words),
        "report_activity": _activity(words),
        "report_live": _live(words),
        "report_backlog": _backlog(words),
    }
    return [
        Definition(
            name,
            f"CREATE VIEW {prefix}{name} AS {select.replace('@', prefix)}",
            f"DROP VIEW {prefix}{name}",
        )
        for name, select in selects.items()
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
        SELECT s.session_id, s.session_uid, s.start_time, NULL, NULL, NULL,
            {counted("stream_started", "s")}, {counted("interrupt_requested", "s")}, NULL, NULL
        FROM @sessions s"""


def _streams(words: Words) -> str:
    return f"""
        SELECT e.session_id, e.session_uid, e.agent_type, e.agent_key, e.stream_id, e.worker_id,
            e.started_at, e.occurred_at AS ended_at, e.outcome,
            {words.seconds("e.started_at", "e.occurred_at")} AS duration_sec
        FROM @session_events e WHERE e.event = 'stream_finished'
        UNION ALL
        SELECT a.session_id, s.session_uid, a.agent_type, a.agent_key, a.stream_id, a.worker_id,
            a.started_at, NULL, NULL, NULL
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
            s.request_id, s.requested_at, NULL, {cause("s")}, {actor("s")}, NULL, NULL, NULL
        FROM @interrupt_signals s"""


def _agents(words: Words) -> str:
    # Nearest rank, by a window function that both databases have. Just one, over days: so both of
    # them hand a bound on the day down to the events.
    shares = ",\n".join(
        f"CAST(count(*) FILTER (WHERE outcome = '{outcome}') AS double precision) / count(*)"
        f" AS {outcome}_share"
        for outcome in STREAM_OUTCOMES
    )
    duration = words.seconds("e.started_at", "e.occurred_at")
    return f"""
        WITH RECURSIVE {_calendar(words, "day")}
        SELECT agent_type, day, count(*) AS streams,
            min(duration_sec) FILTER (WHERE place >= 0.5) AS median_sec,
            min(duration_sec) FILTER (WHERE place >= 0.95) AS p95_sec,
            {shares}
        FROM (
            SELECT e.agent_type, c.day, e.outcome, {duration} AS duration_sec,
                cume_dist() OVER (PARTITION BY c.day, e.agent_type ORDER BY {duration}) AS place
            FROM calendar c JOIN @session_events e
                ON e.occurred_at >= c.day AND e.occurred_at < c.day_after
            WHERE {words.unindexed("e.event")} = 'stream_finished'
        ) AS finished
        GROUP BY agent_type, day"""


def _activity(words: Words) -> str:
    def counted(event: str) -> str:
        return f"count(*) FILTER (WHERE e.event = '{event}')"

    return f"""
        WITH RECURSIVE {_calendar(words, "hour")}
        SELECT c.hour,
            {counted("session_started")} AS sessions_started,
            {counted("session_ended")} AS sessions_ended,
            {counted("session_expired")} AS sessions_expired,
            {counted("session_replaced")} AS sessions_replaced,
            {counted("stream_started")} AS streams_started,
            {counted("stream_finished")} AS streams_finished,
            {counted("interrupt_requested")} AS interrupts
        FROM calendar c LEFT JOIN @session_events e
            ON e.occurred_at >= c.hour AND e.occurred_at < c.hour_after
        GROUP BY c.hour"""


def _calendar(words: Words, unit: str) -> str:
    """Every hour or day from the first event's to the last one's."""
    first = words.floor(unit, "first")
    return f"""
        calendar({unit}, {unit}_after, last) AS (
            SELECT {first}, {words.next(unit, f"({first})")}, last
            FROM (
                SELECT (SELECT min(occurred_at) FROM @session_events) AS first,
                    (SELECT max(occurred_at) FROM @session_events) AS last
            ) AS ends
            WHERE first IS NOT NULL
            UNION ALL
            SELECT {unit}_after, {words.next(unit, f"{unit}_after")}, last
            FROM calendar WHERE {unit}_after <= last
        )"""


def _live(words: Words) -> str:
    return f"""
        SELECT {words.now} AS read_at,
            (SELECT count(*) FROM @sessions) AS sessions,
            (SELECT count(DISTINCT session_id) FROM @agent_streams) AS sessions_streaming,
            (SELECT count(*) FROM @agent_streams) AS streams,
            (SELECT count(*) FROM @workers) AS workers,
            (SELECT min(start_time) FROM @sessions) AS oldest_session_at,
            (SELECT min(started_at) FROM @agent_streams) AS oldest_stream_at"""


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
            SELECT 'unsettled_signals', 0, count(*), min(requested_at) FROM @interrupt_signals
        ) AS waiting"""
