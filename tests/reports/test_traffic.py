"""Sixty days of traffic: every report and audit, on both databases, against its own account.

One test a database, since to fill it takes longer than all that is asked of it then: it is a
million events.
"""

import csv
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from session_router.database.engine import create_engine
from session_router.reports import REPORTS, Bounds, Reports
from session_router.settings import DEFAULT_SCHEMA
from tests.cli.program import Program
from tests.support.laws_sql import breaches
from tests.support.traffic import Counts, Plan, fill
from tests.support.traffic.counts import DAY, HOUR, SECOND, microseconds, moment, nearest_rank

PLAN = Plan()
LEAST_EVENTS = 1_000_000
UNTIL = microseconds(PLAN.until)
WEEK = (UNTIL - UNTIL % DAY - 20 * DAY, UNTIL - UNTIL % DAY - 13 * DAY)
WEEK_OPTIONS = [
    f"{name}={moment(at):%Y-%m-%d}" for name, at in zip(("--since", "--until"), WEEK, strict=True)
]


@dataclass(frozen=True)
class Traffic:
    """A filled database, what was counted while it was filled, and the program to ask it."""

    counts: Counts
    engine: AsyncEngine
    program: Program

    async def ask(self, select: str) -> list[tuple[Any, ...]]:
        prefix = "" if self.engine.dialect.name == "sqlite" else f"{DEFAULT_SCHEMA}."
        async with self.engine.connect() as conn:
            return [tuple(row) for row in await conn.execute(text(select.replace("@", prefix)))]


async def test_traffic_is_reported_and_audited_as_it_was_simulated(
    database_url: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = await fill(database_url, PLAN)
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", "of the simulated traffic, and of it alone")
    engine = create_engine(database_url)
    for check in CHECKS:
        await check(Traffic(counts, engine, program))
    await engine.dispose()


async def the_events_are_there_and_keep_the_laws(t: Traffic) -> None:
    found = await t.ask("SELECT event, count(*) FROM @session_events GROUP BY event")
    assert dict(found) == t.counts.events
    assert sum(t.counts.events.values()) >= LEAST_EVENTS
    async with t.engine.connect() as conn:
        assert await breaches(conn) == {}


async def every_session_is_reported_with_its_ending(t: Traffic) -> None:
    found = await t.ask(
        "SELECT ending, count(*), sum(duration_sec), count(ended_at) "
        "FROM @report_sessions GROUP BY ending",
    )
    told = {ending: (number, seconds) for ending, number, seconds, _ in found}
    assert told.pop(None) == (t.counts.live_sessions, None)
    assert told.keys() == {"ended", "expired", "replaced"}
    for ending, (number, seconds) in told.items():
        assert number == t.counts.endings[ending]
        assert seconds == pytest.approx(t.counts.session_us[ending] / SECOND)


async def sessions_count_their_streams_and_interrupts(t: Traffic) -> None:
    done = await t.program.call("report", "sessions", "--limit", "2000", "--format", "json")
    rows = done.json_lines
    assert len(rows) == 2_000
    assert rows == sorted(rows, key=lambda row: (row["started_at"], row["session_uid"]))
    for row in rows[::400]:
        story = (await t.program.call("events", row["session_id"], "--json")).json_lines
        ours = Counter(e["event"] for e in story if e["session_uid"] == row["session_uid"])
        assert row["streams"] == ours["stream_started"]
        assert row["interrupts"] == ours["interrupt_requested"]
    assert sum(row["interrupts"] for row in rows) > 0


async def every_stream_is_reported_with_its_outcome(t: Traffic) -> None:
    found = await t.ask(
        "SELECT agent_type, outcome, count(*) FROM @report_streams GROUP BY agent_type, outcome",
    )
    told = {(agent, outcome): number for agent, outcome, number in found}
    wanted: Counter[tuple[str, str]] = Counter()
    for (agent, _, outcome), number in t.counts.outcomes.items():
        wanted[agent, outcome] += number
    live = {key: told.pop(key) for key in list(told) if key[1] is None}
    assert told == wanted
    assert len({outcome for _, outcome in wanted}) == 10
    assert sum(live.values()) == t.counts.live_streams > 0


async def every_signal_is_reported_with_what_became_of_it(t: Traffic) -> None:
    found = await t.ask(
        "SELECT outcome, count(*), sum(latency_sec) FROM @report_interrupts GROUP BY outcome",
    )
    told = {outcome: number for outcome, number, _ in found}
    assert told.pop(None) == t.counts.open_signals > 0
    assert told == t.counts.settled
    latency = sum(float(seconds) for _, _, seconds in found if seconds is not None)
    assert latency == pytest.approx(t.counts.latency_us / SECOND)


async def signals_name_who_asked(t: Traffic) -> None:
    found = await t.ask(
        "SELECT actor, cause, count(*) FROM @report_interrupts GROUP BY actor, cause"
    )
    by_actor: Counter[str | None] = Counter()
    by_cause: Counter[str | None] = Counter()
    for actor, cause, number in found:
        by_actor[actor] += number
        by_cause[cause] += number
    assert by_actor == t.counts.asked
    assert by_cause == {
        outcome: sum(n for (_, _, of), n in t.counts.outcomes.items() if of == outcome)
        for outcome in by_cause
    }


async def agents_are_reported_by_type_and_day(t: Traffic) -> None:
    done = await t.program.call("report", "agents", "--format", "json")
    told = {(row["agent_type"], row["day"]): row for row in done.json_lines}
    assert len(told) == len(t.counts.durations) == len(done.json_lines)
    for (agent, day), durations in t.counts.durations.items():
        row = told[agent, f"{moment(day):%Y-%m-%d}"]
        assert row["streams"] == len(durations)
        assert row["median_sec"] == pytest.approx(nearest_rank(durations, 50) / SECOND)
        assert row["p95_sec"] == pytest.approx(nearest_rank(durations, 95) / SECOND)
        shares = {name: of for name, of in row.items() if name.endswith("_share")}
        assert sum(shares.values()) == pytest.approx(1)
        for name, share in shares.items():
            number = t.counts.outcomes[agent, day, name.removesuffix("_share")]
            assert share == pytest.approx(number / len(durations))


async def activity_is_reported_hour_by_hour(t: Traffic) -> None:
    done = await t.program.call("report", "activity", "--format", "csv")
    rows = list(csv.DictReader(done.out.splitlines()))
    events = {
        name: {"interrupts": "interrupt_requested"}.get(
            name, name.replace("sessions_", "session_").replace("streams_", "stream_")
        )
        for name in rows[0]
        if name not in ("hour", "owner")
    }
    first, last = min(t.counts.hours), max(t.counts.hours)
    assert len(rows) == (last - first) // HOUR + 1
    for number, row in enumerate(rows):
        hour = first + number * HOUR
        assert row["hour"] == f"{moment(hour):%Y-%m-%dT%H:%M:%SZ}"
        for name, event in events.items():
            assert int(row[name]) == t.counts.hours[hour][event], (row["hour"], name)


async def bounds_leave_out_what_is_outside(t: Traffic) -> None:
    """As many rows as a filter over all rows finds that no index could serve."""
    for report in ("sessions", "streams", "interrupts", "agents", "activity"):
        done = await t.program.call("report", report, *WEEK_OPTIONS, "--format", "csv")
        time = REPORTS[report].time
        since, until = (f"{moment(at):%Y-%m-%d %H:%M:%S}.000000" for at in WEEK)
        as_text = (
            time
            if t.engine.dialect.name == "sqlite"
            else f"to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        )
        within = f"{as_text} >= '{since}' AND {as_text} < '{until}'"
        ((number,),) = await t.ask(f"SELECT count(*) FROM @report_{report} WHERE {within}")
        assert done.code == 0
        assert len(done.out.splitlines()) - 1 == number > 0
        if report == "streams":
            assert number == sum(WEEK[0] <= began < WEEK[1] for began, _ in t.counts.spans)


async def concurrency_counts_streams_that_began_earlier(t: Traffic) -> None:
    since, until = UNTIL - UNTIL % DAY - DAY + 10 * HOUR, UNTIL - UNTIL % DAY - DAY + 16 * HOUR
    options = [
        f"{name}={moment(at):%Y-%m-%dT%H:%M}"
        for name, at in (("--since", since), ("--until", until))
    ]
    done = await t.program.call("report", "concurrency", *options, "--format", "json")
    rows = done.json_lines
    assert len(rows) == 36
    for number in range(0, 36, 6):  # the simulation reckons slowly
        row, begin = rows[number], since + number * 600 * SECOND
        peak, mean = t.counts.concurrency(begin, begin + 600 * SECOND)
        assert row["begins_at"] == f"{moment(begin):%Y-%m-%dT%H:%M:%SZ}"
        assert row["peak"] == peak
        assert row["mean"] == pytest.approx(mean, abs=1e-6)
    assert t.counts.concurrency(since, until)[0] == max(row["peak"] for row in rows) > 3


async def concurrency_of_many_days_agrees(t: Traffic) -> None:
    begin = UNTIL - 14 * DAY
    bounds = Bounds(moment(begin), moment(UNTIL))
    buckets = await Reports(t.engine, DEFAULT_SCHEMA).concurrency(bounds)
    peak, mean = t.counts.concurrency(begin, UNTIL)
    seconds = sum(bucket.seconds for bucket in buckets)
    assert seconds == timedelta(days=14).total_seconds()
    assert max(bucket.peak for bucket in buckets) == peak
    assert sum(b.mean * b.seconds for b in buckets) / seconds == pytest.approx(mean)


async def live_and_backlog_are_of_this_moment(t: Traffic) -> None:
    (live,) = (await t.program.call("report", "live", "--format", "json")).json_lines
    assert live["sessions"] == t.counts.live_sessions > 0
    assert live["streams"] == t.counts.live_streams
    assert live["sessions_streaming"] == t.counts.sessions_streaming
    assert live["workers"] == 12

    backlog = (await t.program.call("report", "backlog", "--format", "json")).json_lines
    kinds = Counter(row["kind"] for row in backlog)
    assert kinds == {"idle_sessions": 6, "unsettled_signals": 1}
    for row in backlog:  # the traffic ended long ago
        is_signals = row["kind"] == "unsettled_signals"
        assert row["items"] == (t.counts.open_signals if is_signals else t.counts.live_sessions)
        assert row["oldest_sec"] > 86_400


async def pictures_are_drawn(t: Traffic) -> None:
    for report in ("activity", "agents", "concurrency", "interrupts"):
        png = await t.program.call("report", report, *WEEK_OPTIONS, "--plot", "picture.png")
        svg = await t.program.call("report", report, *WEEK_OPTIONS, "--plot", "picture.svg")
        assert (png.code, svg.code) == (0, 0), png.err + svg.err
        assert (t.program.folder / "picture.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (t.program.folder / "picture.svg").read_text()


async def formats_tell_the_same(t: Traffic) -> None:
    options = ["report", "streams", *WEEK_OPTIONS, "--limit", "50"]
    documents = (await t.program.call(*options, "--format", "json")).json_lines
    rows = list(
        csv.DictReader((await t.program.call(*options, "--format", "csv")).out.splitlines())
    )
    lines = (await t.program.call(*options)).rows
    assert len(documents) == len(rows) == len(lines) == 50
    for document, row, line in zip(documents, rows, lines, strict=True):
        assert {name: "" if v is None else str(v) for name, v in document.items()} == row
        assert line[0] == row["session_id"]
    assert json.dumps(documents[0]) in (await t.program.call(*options, "--format", "json")).out


async def a_session_tells_its_story(t: Traffic) -> None:
    numbers = Counter[str]()
    for session_id, _, number in t.counts.stories.values():
        numbers[session_id] += number
    for session_id in ("user-0", "user-100", max(numbers, key=lambda i: (numbers[i], i))):
        told = (await t.program.call("events", session_id, "--json")).json_lines
        assert len(told) == numbers[session_id]
        assert all(
            (event["duration_sec"] is None) == (event["started_at"] is None) for event in told
        )


async def the_trail_is_exported_whole_and_in_part(t: Traffic) -> None:
    whole = t.program.folder / "whole.csv"
    done = await t.program.call("audit", "export", "--format", "csv", "--output", str(whole))
    assert done.code == 0
    with whole.open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == sum(t.counts.events.values())
    week = (await t.program.call("audit", "export", *WEEK_OPTIONS)).json_lines
    in_week = (n for hour, n in t.counts.hours.items() if WEEK[0] <= hour < WEEK[1])
    assert Counter(event["event"] for event in week) == sum(in_week, Counter())
    table = t.program.folder / "week.parquet"
    options = ["--format", "parquet", "--output", str(table)]
    assert (await t.program.call("audit", "export", *WEEK_OPTIONS, *options)).code == 0
    assert parquet.read_metadata(table).num_rows == len(week)


async def the_trail_is_verified_sealed_and_pruned(t: Traffic) -> None:
    """Last of all, since it writes."""
    events = sum(t.counts.events.values())
    verified = await t.program.call("audit", "verify", "--json")
    assert (verified.code, verified.json["events"], verified.json["seals"]) == (0, events, 0)
    seals = (await t.program.call("audit", "seal", "--json")).json_lines
    assert sum(seal["events"] for seal in seals) == events
    month_ago = UNTIL - UNTIL % DAY - 30 * DAY
    pruned = await t.program.call("audit", "prune", "--before", f"{moment(month_ago):%F}", "--json")
    told = pruned.json["stories"], pruned.json["events"]
    assert told == t.counts.over_before(month_ago)
    verified = await t.program.call("audit", "verify", "--json")
    assert (verified.code, verified.json["violations"]) == (0, [])
    assert verified.json["seals"] == len(seals)


CHECKS: Final[Sequence[Callable[[Traffic], Awaitable[None]]]] = (
    the_events_are_there_and_keep_the_laws,
    every_session_is_reported_with_its_ending,
    sessions_count_their_streams_and_interrupts,
    every_stream_is_reported_with_its_outcome,
    every_signal_is_reported_with_what_became_of_it,
    signals_name_who_asked,
    agents_are_reported_by_type_and_day,
    activity_is_reported_hour_by_hour,
    bounds_leave_out_what_is_outside,
    concurrency_counts_streams_that_began_earlier,
    concurrency_of_many_days_agrees,
    live_and_backlog_are_of_this_moment,
    pictures_are_drawn,
    formats_tell_the_same,
    a_session_tells_its_story,
    the_trail_is_exported_whole_and_in_part,
    the_trail_is_verified_sealed_and_pruned,
)
