"""How many streams there were at once, reckoned by the database from beginnings and ends.

A stream raises the level at its beginning and lowers it at its end. One that began earlier raises
it at the very beginning. What happens at one instant is added up first, so that a stream that
takes over from another does not count as a second one.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Dialect, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.selectable import TextualSelect

from session_router.database.definitions.reports_words_0013 import words_of
from session_router.database.types import UtcDateTime

_WIDTHS: Final = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(days=1),
    timedelta(weeks=1),
)
_MOST: Final = 200
_A_MONDAY: Final = datetime(2001, 1, 1, tzinfo=UTC)

_STATEMENT: Final = """
    WITH begins(begins_at) AS ({begins}),
    spans(started_at, ended_at) AS (
        SELECT started_at, occurred_at FROM {prefix}session_events
        WHERE event = 'stream_finished' AND started_at >= :since AND started_at < :until
        UNION ALL
        SELECT started_at, occurred_at FROM {prefix}session_events
        WHERE event = 'stream_finished' AND started_at < :since AND occurred_at >= :since
        UNION ALL
        SELECT started_at, NULL FROM {prefix}agent_streams WHERE started_at < :until
    ),
    changes(happens_at, change) AS (
        SELECT CASE WHEN started_at < :since THEN :since ELSE started_at END, 1 FROM spans
        UNION ALL SELECT ended_at, -1 FROM spans WHERE ended_at < :until
        UNION ALL SELECT begins_at, 0 FROM begins
    ),
    instants(happens_at, change) AS (
        SELECT happens_at, sum(change) FROM changes GROUP BY happens_at
    ),
    levels(begins_at, level, happens_at, next_at) AS (
        SELECT max(begins_at) OVER (ORDER BY happens_at),
            CAST(sum(change) OVER (ORDER BY happens_at) AS bigint),
            happens_at, lead(happens_at, 1, :until) OVER (ORDER BY happens_at)
        FROM instants LEFT JOIN begins ON begins_at = happens_at
    )
    SELECT begins_at, CAST(max(level) AS integer) AS peak,
        CAST(sum(level * {micros}) AS double precision) / sum({micros}) AS mean
    FROM levels GROUP BY begins_at ORDER BY begins_at
"""
_BEGINS: Final = {
    "postgresql": "SELECT unnest(:begins)",
    "sqlite": "SELECT value FROM json_each(:begins)",
}


def buckets(since: datetime, until: datetime) -> list[datetime]:
    """Where the stretches begin: the first at `since`, the others on the clock."""
    width = next((w for w in _WIDTHS if (until - since) / w <= _MOST), _WIDTHS[-1])
    begin = since - (since - _A_MONDAY) % width + width
    begins = [since]
    while begin < until:
        begins.append(begin)
        begin += width
    return begins


def statement(
    dialect: Dialect, schema: str | None, begins: Sequence[datetime], until: datetime
) -> TextualSelect:
    """The peak and the mean in each of the stretches, the last of which ends at `until`."""
    time = UtcDateTime()
    return (
        text(
            _STATEMENT.format(
                begins=_BEGINS[dialect.name],
                prefix=f"{schema}." if schema else "",
                micros=words_of(dialect.name).micros("happens_at", "next_at"),
            )
        )
        .bindparams(
            bindparam("since", begins[0], time),
            bindparam("until", until, time),
            _list("begins", begins, dialect),
        )
        .columns(begins_at=time)
    )


def _list(name: str, times: Sequence[datetime], dialect: Dialect) -> Any:
    if dialect.name != "sqlite":
        return bindparam(name, list(times), postgresql.ARRAY(postgresql.TIMESTAMP(timezone=True)))
    return bindparam(
        name, json.dumps([UtcDateTime().process_bind_param(t, dialect) for t in times])
    )
