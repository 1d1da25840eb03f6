"""What the two databases say differently in reports, from 0013 on."""

# ruff: noqa: S608 - definitions take no parameters; all that is put in is written here

from collections.abc import Sequence
from typing import Final, Protocol

from session_router.database.definitions import reports_0004


class Words(Protocol):
    """What the two databases say differently."""

    @property
    def no_time(self) -> str:
        """None, of a time's type."""

    def micros(self, start: str, end: str) -> str:
        """Microseconds from one time to another: a whole number, with which sums are exact."""

    def seconds(self, start: str, end: str) -> str:
        """Seconds from one time to another, the same double precision number on both."""

    def agents(self, outcomes: Sequence[str], is_owned: str) -> str:
        """The view of agent types and days."""


class _OnPostgresql:
    no_time: Final = "CAST(NULL AS timestamptz)"

    def micros(self, start: str, end: str) -> str:
        return f"CAST(extract(epoch FROM {end} - {start}) * 1000000 AS bigint)"

    def seconds(self, start: str, end: str) -> str:
        return f"CAST(extract(epoch FROM {end} - {start}) AS double precision)"

    def agents(self, outcomes: Sequence[str], is_owned: str) -> str:
        """A day after the other, so that a bound on the day bounds what is read."""
        length = self.seconds("e.started_at", "e.occurred_at")
        calendar = reports_0004._calendar(reports_0004.words_of("postgresql"), "day")
        return f"""
        WITH RECURSIVE {calendar}
        SELECT of_day.agent_type, CAST(c.day AT TIME ZONE 'UTC' AS date) AS day, of_day.streams,
            of_day.median_sec, of_day.p95_sec,
            {", ".join(f"of_day.{outcome}_share" for outcome in outcomes)}, of_day.owner
        FROM calendar c CROSS JOIN LATERAL (
            SELECT e.agent_type, o.detail AS owner, count(*) AS streams,
                percentile_disc(0.5) WITHIN GROUP (ORDER BY {length}) AS median_sec,
                percentile_disc(0.95) WITHIN GROUP (ORDER BY {length}) AS p95_sec,
                {_shares(outcomes, "e.outcome")}
            FROM @session_events e
            LEFT JOIN @session_events o ON o.session_uid = e.session_uid AND {is_owned}
            WHERE e.event = 'stream_finished'
                AND e.occurred_at >= c.day AND e.occurred_at < c.day_after
            GROUP BY e.agent_type, o.detail
        ) AS of_day"""


class _OnSqlite:
    no_time: Final = "CAST(NULL AS text)"

    def micros(self, start: str, end: str) -> str:
        # SQLite's own dates end at milliseconds.
        whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
        return f"(({whole}) * 1000000 + substr({end}, 21) - substr({start}, 21))"

    def seconds(self, start: str, end: str) -> str:
        # Rounded once: whole seconds and a fraction that are added are rounded twice.
        return f"({self.micros(start, end)} / 1000000.0)"

    def agents(self, outcomes: Sequence[str], is_owned: str) -> str:
        """A day after the other; the rows of each come as JSON, of which SQLite can make rows.

        A GROUP BY over all days would first rank every day there is. Only whole numbers are in the
        JSON, so that nothing is rounded.
        """
        length = self.micros("e.started_at", "e.occurred_at")
        calendar = reports_0004._calendar(reports_0004.words_of("sqlite"), "day")
        counts = ", ".join(f"count(*) FILTER (WHERE outcome = '{of}')" for of in outcomes)
        streams = _item(2)
        shares = ", ".join(
            f"CAST({_item(place)} AS double precision) / {streams} AS {outcome}_share"
            for place, outcome in enumerate(outcomes, start=5)
        )
        return f"""
        WITH RECURSIVE {calendar}
        SELECT {_item(0)} AS agent_type, substr(c.day, 1, 10) AS day, {streams} AS streams,
            {_item(3)} / 1000000.0 AS median_sec, {_item(4)} / 1000000.0 AS p95_sec,
            {shares}, {_item(1)} AS owner
        FROM calendar c JOIN json_each((
            SELECT json_group_array(json(of_type)) FROM (
                SELECT json_array(agent_type, owner, count(*),
                    min(micros) FILTER (WHERE place >= 0.5),
                    min(micros) FILTER (WHERE place >= 0.95), {counts}) AS of_type
                FROM (
                    SELECT e.agent_type, o.detail AS owner, e.outcome, {length} AS micros,
                        cume_dist() OVER (
                            PARTITION BY e.agent_type, o.detail ORDER BY {length}
                        ) AS place
                    FROM @session_events e INDEXED BY session_events_agents_idx
                    LEFT JOIN @session_events o ON o.session_uid = e.session_uid AND {is_owned}
                    WHERE e.event = 'stream_finished'
                        AND e.occurred_at >= c.day AND e.occurred_at < c.day_after
                ) AS finished
                GROUP BY agent_type, owner
            ) AS of_types
        )) AS of_day"""


def words_of(dialect: str) -> Words:
    return _OnSqlite() if dialect == "sqlite" else _OnPostgresql()


def _shares(outcomes: Sequence[str], outcome: str) -> str:
    return ",\n".join(
        f"CAST(count(*) FILTER (WHERE {outcome} = '{of}') AS double precision) / count(*)"
        f" AS {of}_share"
        for of in outcomes
    )


def _item(place: int) -> str:
    return f"json_extract(of_day.value, '$[{place}]')"
