"""Writes docs/reports.md, what each report tells with an example, and the picture in it.

`make docs` runs it. The traffic is the same every time, and so is what is written.
"""

# ruff: noqa: E501 - a row of a table is one line

import asyncio
import io
import os
import sqlite3
import sys
import tempfile
from contextlib import closing, redirect_stdout, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args
from uuid import UUID

from session_router.cli import main as session_router
from session_router.database.migrate import Target, upgrade
from session_router.reports import REPORTS
from session_router.reports.catalogue import Report
from session_router.reports.rows import ConcurrencyBucket, ReportRow
from tests.support.traffic import Plan, fill

PAGE: Final = Path(__file__).with_name("reports.md")
_PLAN: Final = Plan(arrivals=7_000, days=7, until=datetime(2026, 6, 30, 15, tzinfo=UTC))
_QUERIES: Final = {
    "sessions": """
SELECT ending, count(*) AS sessions, round(avg(duration_sec)) AS mean_sec,
       sum(interrupts) AS interrupts
FROM report_sessions WHERE started_at >= '2026-06-29' AND started_at < '2026-06-30'
GROUP BY ending ORDER BY sessions DESC;""",
    "streams": """
SELECT agent_type, ended_at, outcome, duration_sec, worker_host FROM report_streams
WHERE started_at >= '2026-06-29 12:00' AND outcome IN ('failed', 'worker_lost')
ORDER BY duration_sec DESC LIMIT 5;""",
    "interrupts": """
SELECT actor, count(*) AS signals, count(settled_at) AS settled, max(latency_sec) AS slowest_sec
FROM report_interrupts WHERE requested_at >= '2026-06-28' AND cause = 'interrupted'
GROUP BY actor ORDER BY actor;""",
    "agents": """
SELECT agent_type, streams, median_sec, p95_sec, round(100 * completed_share) AS completed_percent
FROM report_agents WHERE day = '2026-06-29' ORDER BY streams DESC;""",
    "activity": """
SELECT hour, sessions_started, sessions_expired, streams_started, interrupts
FROM report_activity WHERE hour >= '2026-06-30 10:00' ORDER BY hour;""",
    "workers": """
SELECT version, count(*) AS workers, count(*) FILTER (WHERE how = 'lost') AS lost
FROM report_workers WHERE started_at >= '2026-06-01' GROUP BY version ORDER BY version;""",
    "live": """
SELECT sessions, sessions_streaming, streams, workers, oldest_session_at FROM report_live;""",
    "backlog": """
SELECT kind, over_sec, items, oldest_at FROM report_backlog
WHERE kind = 'unsettled_signals' OR over_sec = 1800 ORDER BY kind;""",
}
# The release before, which the workers of the traffic have just taken the place of.
_DEPLOYED: Final = """
UPDATE workers SET version = '0.2.1';
INSERT INTO past_workers (worker_id, host, pid, version, started_at, ended_at, how)
SELECT printf('00000000-0000-0000-0000-%012d', value), 'host', value, '0.2.0',
       '2026-06-20 08:00:00.000000', '2026-06-30 14:59:00.000000',
       CASE WHEN value < 3 THEN 'lost' ELSE 'stopped' END
FROM json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]');
"""
_CONCURRENCY: Final = ("--since", "2026-06-29T14:00", "--until", "2026-06-29T14:05")
_WEEK: Final = ("--since", "2026-06-24", "--until", "2026-06-30")
_TYPES: Final = {
    str: "text",
    int: "whole number",
    float: "number",
    datetime: "time",
    date: "day",
    UUID: "uuid",
}
_HEAD: Final = """\
# Reports

Made by `make docs`; do not edit.

What happened is told by views that `session-router db upgrade` creates, with the same columns on
PostgreSQL (in the schema `session_router`) and SQLite. `session-router report NAME` reads them;
so does any program that speaks SQL. Columns are added over time, but none is taken away or
changed in its meaning.

- Lengths of time are numbers of seconds, shares are between 0 and 1.
- Times are what the tables have: `timestamptz`, on SQLite UTC text such as
  `2026-06-29 12:00:00.000000`. Days are those of UTC: `date`, on SQLite text such as `2026-06-29`.
- Both databases tell the same, to the last digit.
- A bound on the time column of a report, such as `started_at >= '2026-06-29'`, is searched for
  in an index, also through the view. So is one on `ended_at` or `settled_at`, and so are the last
  rows: `ORDER BY started_at DESC LIMIT 20`. Where there are very many rows, read on from the last
  one's time, a day or an hour at a time.
- Whatever was pruned from the audit trail is not reported any more, nor are workers that were gone
  before.

```
session-router report agents --since 7d
session-router report sessions --since 2026-06-01 --until 2026-07-01 --format csv > june.csv
session-router report concurrency --since 24h
session-router report streams --outcome failed --newest 20
session-router report streams --live --agent writer
```

| option | does |
|---|---|
| `--since TIME`, `--until TIME` | bounds the time column: from the one to before the other. A date or time (UTC, unless it says otherwise), or so long ago: `90s`, `30m`, `24h`, `7d`, `2w`. The day or the hour that `--since` lies in is told whole. |
| `--format table\\|csv\\|json` | csv and json have all columns; json is one document a line |
| `--limit N` | the first rows only |
| `--newest N` | the last rows only, the last one first |
| `--outcome OUTCOME`, `--agent TYPE[/KEY]`, `--session SESSION_ID`, `--live` | of `streams`: those that ended so, of these agents, in this session, that stream now |
| `--plot FILE` | draws a picture instead, PNG or SVG, of `activity`, `agents`, `concurrency` or `interrupts`; needs the extra `plot`. Lines to an hour or a day that is not told whole, as today, are dotted. |

![Streams at once over a week](concurrency.png)
"""


def described() -> str:
    """What the page says of each report before its example; all that views and columns decide."""
    return "\n".join(_describe(report) for report in REPORTS.values()) + _describe_concurrency()


def _describe(report: Report) -> str:
    time = f"The time column is `{report.time}`." if report.time else "It takes no bounds."
    return f"\n## {report.view}\n\n{_text(report.row)}\n\n{time}\n\n{_columns(report.row)}\n"


def _describe_concurrency() -> str:
    return (
        f"\n## session-router report concurrency\n\n{_text(ConcurrencyBucket)}\n\n"
        "It is no view, since it is reckoned anew for its bounds; a stream that began before them "
        "counts. Left out, `--until` is now, and `--since` a day before it. The stretches are "
        "minutes, ten minutes, hours, days or weeks, 200 or so at the most.\n\n"
        f"{_columns(ConcurrencyBucket)}\n"
    )


def _text(row: type[ReportRow]) -> str:
    paragraphs = (row.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _columns(row: type[ReportRow]) -> str:
    lines = ["| column | type | what it is |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {_type_of(field.annotation)} | {field.description} |"
        for name, field in row.model_fields.items()
    ]
    return "\n".join(lines)


def _type_of(annotation: Any) -> str:
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return next(_TYPES[kind] for kind in kinds if kind in _TYPES)


def _page(url: str) -> str:
    parts = [_HEAD]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(_DEPLOYED)
        for report in REPORTS.values():
            query = _QUERIES[report.name].strip()
            parts.append(_describe(report))
            parts.append(f"\n```sql\n{query}\n```\n```\n{_result(connection, query)}\n```\n")
    return "".join([*parts, _describe_concurrency(), _concurrency()])


def _result(connection: sqlite3.Connection, query: str) -> str:
    found = connection.execute(query)
    lines = [[column[0] for column in found.description]]
    lines += [["" if value is None else f"{value}" for value in row] for row in found]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rule = "-+-".join("-" * width for width in widths)
    padded = (
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    )
    head, *rows = (" | ".join(line).rstrip() for line in padded)
    return "\n".join([head, rule, *rows])


def _concurrency() -> str:
    options = [*_CONCURRENCY, "--format", "csv"]
    printed = _report("concurrency", *options)
    command = " ".join(["session-router", "report", "concurrency", *options])
    return f"\n```\n{command}\n```\n```\n{printed}```\n"


def _report(*arguments: str) -> str:
    """What the program prints."""
    printed = io.StringIO()
    sys.argv = ["session-router", "report", *arguments]
    with redirect_stdout(printed), suppress(SystemExit):
        session_router()
    return printed.getvalue()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/traffic.db"
        os.environ["SESSION_ROUTER_DATABASE_URL"] = url
        asyncio.run(upgrade(Target(url)))
        asyncio.run(fill(url, _PLAN))
        PAGE.write_text(_page(url))
        _report("concurrency", *_WEEK, "--plot", str(PAGE.with_name("concurrency.png")))


if __name__ == "__main__":
    main()
