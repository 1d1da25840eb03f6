"""The queries that matter go by an index, on tables large enough for the choice to be real."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from session_router import AgentId, Session, SQLAlchemySessionRepository
from session_router.database.engine import create_engine
from session_router.database.schema import Tables, build_tables
from session_router.database.types import one_of
from session_router.events import StreamOutcome
from session_router.hooks import queries as hooks
from session_router.repository.changes import (
    Finish,
    Register,
    SessionFilter,
    Start,
    Stop,
    StreamFilter,
    Sweep,
    SweepPosition,
    Touch,
)
from session_router.repository.records import Requester
from session_router.repository.sql import (
    bulk,
    interrupts,
    repetitions,
    requests,
    stock,
    tallies,
    workers,
)
from session_router.repository.sql import names as stream_names
from session_router.repository.sql import signals as outbox
from session_router.repository.sql import streams as streams_of_sessions
from session_router.repository.sql.endings import idle
from session_router.repository.sql.events import Page
from session_router.repository.sql.sessions import page_of, with_agents
from tests.support.databases import PostgresDatabases
from tests.support.waiting import eventually

ROWS = 20_000

_FILL = """
    INSERT INTO {p}sessions (
        session_id, session_uid, start_time, last_updated, owner, timeout_minutes
    )
    SELECT 's' || n, {uuid}, {time}, {time},
        CASE n % 4 WHEN 0 THEN 'acme' WHEN 1 THEN 'o' || n % 100 END,
        CASE n % 5 WHEN 0 THEN n % 1000 END
    FROM {numbers};
    INSERT INTO {p}agent_streams (
        session_id, agent_type, agent_key, stream_id, worker_id, started_at
    )
    SELECT 's' || n, 'writer', 'alice', {uuid}, {uuid}, {time} FROM {numbers};
    INSERT INTO {p}interrupt_signals
    SELECT {uuid}, {uuid}, {uuid}, 's' || n, {uuid}, 'w', 'a', {uuid}, 'cancel', {time}
    FROM {numbers};
    INSERT INTO {p}session_events (session_id, session_uid, event, detail)
    SELECT 's' || n, {uuid}, 'session_started', CASE n % 4 WHEN 0 THEN 'acme' END
    FROM {numbers};
    INSERT INTO {p}session_events (session_id, session_uid, event, stream_id)
    SELECT 's' || n, {uuid}, 'stream_started', {uuid} FROM {numbers};
    INSERT INTO {p}session_events (session_id, session_uid, event, request_id)
    SELECT 's' || n, {uuid}, 'interrupt_requested', {uuid} FROM {numbers};
    INSERT INTO {p}workers (worker_id, host, pid, started_at, heartbeat_at)
    SELECT {uuid}, 'box-1', 4711, {time}, {time} FROM {numbers};
    INSERT INTO {p}past_workers (worker_id, host, pid, started_at, ended_at, how)
    SELECT {uuid}, 'box-1', 4711, {time}, {time}, 'lost' FROM {numbers};
    INSERT INTO {p}idempotent_requests SELECT {uuid}, 'f', {time}, NULL FROM {numbers};
    INSERT INTO {p}early_stops (stream_id, session_id, request_id, requested_at)
    SELECT {uuid}, 's' || n, {uuid}, {time} FROM {numbers};
    INSERT INTO {p}hooks (hook_id, url, events, allows_private, created_at)
    SELECT 'h' || n, 'https://example.com', 'session_ended', n < 0, {time} FROM {numbers}
    WHERE n <= 50;
    INSERT INTO {p}hook_deliveries (hook_id, event_id, session_id, attempts, due_at, dead_at)
    SELECT 'h' || (n % 50), n, 's' || (n % 5000), 0, {time}, CASE n % 10 WHEN 0 THEN {time} END
    FROM {numbers};
    ANALYZE
"""


async def fill(conn: AsyncConnection) -> None:
    if conn.dialect.name == "sqlite":
        numbers = (
            f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) "
            "SELECT n FROM c)"
        )
        words = {"p": "", "uuid": "lower(hex(randomblob(16)))", "numbers": numbers}
        words["time"] = "strftime('%Y-%m-%d %H:%M:%f000', 'now', (n - 30000) || ' seconds')"
    else:
        words = {"p": "session_router.", "uuid": "gen_random_uuid()"}
        words["numbers"] = f"generate_series(1, {ROWS}) n"
        words["time"] = "now() - make_interval(secs => n)"
    for statement in _FILL.format(**words).split(";"):
        await conn.execute(text(statement))


def statements(t: Tables) -> dict[str, tuple[Any, str]]:
    """The statements, and the index that each must use."""
    cutoff = datetime.now(UTC) - timedelta(hours=5)
    sessions, streams = t.sessions.c, t.agent_streams.c
    signals, events = t.interrupt_signals.c, t.session_events.c
    behind, own = SweepPosition(cutoff, "s"), SweepPosition(cutoff, "s", has_own=True)
    grace, acme = timedelta(0), SessionFilter(owner="acme")
    batch = Sweep(grace, grace, Requester(), 100, behind)
    return {
        "the sweep's batch": (idle(t, batch, cutoff).limit(100), "sessions_idle_idx"),
        "the sweep's batch of those with a timeout of their own": (
            idle(t, replace(batch, after=own), cutoff).limit(100),
            "sessions_own_timeouts_idx",
        ),
        "a page of an owner's sessions": (
            page_of(t, acme, None, "s5", 100),
            "sessions_owners_idx",
        ),
        "an owner's events": (
            Page("s5", "acme", 0, 100).statement(t),
            "session_events_owned_sessions_idx",
        ),
        "an owner's receipts": (
            bulk.counts_of(t, uuid4(), "acme"),
            "session_events_owned_sessions_idx",
        ),
        "many sessions by key": (
            select(t.sessions).where(one_of(sessions.session_id, ["s1", "s2"])),
            "sessions_pkey",
        ),
        "a page of sessions": (
            with_agents(t)
            .where(sessions.session_id > "s5")
            .order_by(sessions.session_id)
            .limit(100),
            "sessions_pkey",
        ),
        "the agents of a page of sessions": (
            with_agents(t)
            .where(sessions.session_id > "s5")
            .order_by(sessions.session_id)
            .limit(100),
            "agent_streams_pkey",
        ),
        "a session with its agents": (
            with_agents(t).where(sessions.session_id == "s5"),
            "agent_streams_pkey",
        ),
        "what dead workers left of streams": (workers.lost(t), "agent_streams_worker_id_idx"),
        "what dead workers left of signals": (
            workers.lost(t),
            "interrupt_signals_worker_id_requested_at_idx",
        ),
        "the streams of sessions": (
            select(t.agent_streams).where(one_of(streams.session_id, ["s1", "s2"])),
            "agent_streams_pkey",
        ),
        "streams taken out": (
            delete(t.agent_streams)
            .where(one_of(streams.session_id, ["s1", "s2"]))
            .where(one_of(streams.stream_id, [uuid4()])),
            "agent_streams_pkey",
        ),
        "a worker's streams": (
            select(streams.session_id)
            .where(streams.worker_id == uuid4())
            .order_by(streams.session_id)
            .limit(1_000),
            "agent_streams_worker_id_idx",
        ),
        "a worker's signals": (
            select(t.interrupt_signals)
            .where(signals.worker_id == uuid4())
            .order_by(signals.requested_at)
            .limit(1_000),
            "interrupt_signals_worker_id_requested_at_idx",
        ),
        "many workers' signals": (
            outbox.unsettled_by_worker(t, [uuid4(), uuid4()], 1_000),
            "interrupt_signals_worker_id_requested_at_idx",
        ),
        "the heartbeats of many workers": (
            workers.renewal_of(t, [uuid4(), uuid4()]),
            "workers_pkey",
        ),
        "a session's story": (
            select(t.session_events)
            .where(events.event_id > 7, events.session_id == "s1")
            .order_by(events.event_id)
            .limit(100),
            "session_events_session_id_event_id_idx",
        ),
        "how a stream began": (
            stream_names.beginning(t, uuid4()),
            "session_events_started_streams_idx",
        ),
        "what was told of a request": (
            bulk.counts_of(t, uuid4()),
            "session_events_requests_idx",
        ),
        "what is open of a request": (
            bulk.counts_of(t, uuid4()),
            "interrupt_signals_request_id_idx",
        ),
        "which signals of a request failed": (
            bulk.failures_of(t, uuid4()),
            "session_events_requests_idx",
        ),
        "what is kept of a request": (requests.kept(t, uuid4()), "idempotent_requests_pkey"),
        "which streams a request stopped": (
            repetitions.stopped_by(t, Stop("s1", Requester())),
            "session_events_session_id_event_id_idx",
        ),
        "which streams a request stopped, from its event on": (
            repetitions.stopped_by(t, Stop("s1", Requester())),
            "session_events_requests_idx",
        ),
        "which life a request began": (
            repetitions.started_by(t, Start("s1", Requester(), request_id=uuid4())),
            "session_events_session_id_event_id_idx",
        ),
        "in how many sessions a request stopped streams": (
            bulk.requested(t, uuid4(), events.session_id),
            "session_events_requests_idx",
        ),
        "the sessions in which streams match": (
            bulk.page_of(t, StreamFilter(), datetime.now(UTC), "s5", 100),
            "agent_streams_pkey",
        ),
        "the sessions in which a worker streams": (
            bulk.page_of(t, StreamFilter(worker_id=uuid4()), datetime.now(UTC), None, 100),
            "agent_streams_worker_id_idx",
        ),
        "a page of sessions that begin so": (
            page_of(t, SessionFilter(prefix="s5"), None, "s51", 100),
            "sessions_pkey",
        ),
        "a page of sessions in which an agent streams": (
            page_of(t, SessionFilter(agent_type="writer", streaming=True), None, "s5", 100),
            "agent_streams_pkey",
        ),
        "a page of sessions in which a worker streams": (
            page_of(t, SessionFilter(worker_id=uuid4()), None, None, 100),
            "agent_streams_worker_id_idx",
        ),
        "workers that were gone long ago": (
            workers.gone_before(t, datetime.now(UTC) - timedelta(hours=5)),
            "past_workers_ended_at_idx",
        ),
        "the oldest stops that nobody came for": (
            interrupts.oldest(t, datetime.now(UTC), 100),
            "early_stops_requested_at_idx",
        ),
        "hooks for which something is due": (
            hooks.hooks_due(t, cutoff, ["h1"], urls=True),
            "hook_deliveries_due_idx",
        ),
        "what is due of a hook": (
            hooks.first_due(t, "h7", cutoff, 100),
            "hook_deliveries_due_idx",
        ),
        "what is owed before that for the same session": (
            hooks.first_due(t, "h7", cutoff, 100),
            "hook_deliveries_session_id_hook_id_delivery_id_idx",
        ),
        "what hooks were not to be told": (
            hooks.dead(t, 100, 100),
            "hook_deliveries_dead_idx",
        ),
        "what is due to be swept the longest": (stock.idlest_session(t), "sessions_idle_idx"),
        "what of those with a timeout of their own is due the longest": (
            stock.first_of_own_timeouts(t),
            "sessions_own_timeouts_idx",
        ),
        "how a stream ended": (
            streams_of_sessions.outcome_of(t, "s1", uuid4()),
            "session_events_session_id_event_id_idx",
        ),
        "the events of stories that are pruned": (
            select(t.session_events)
            .where(one_of(events.session_id, ["s1", "s2"]))
            .where(one_of(events.session_uid, [uuid4()]))
            .where(events.event_id <= 100_000)
            .order_by(events.event_id),
            "session_events_session_id_event_id_idx",
        ),
    }


async def plan(engine: AsyncEngine, statement: Any) -> str:
    compiled = statement.compile(dialect=engine.dialect)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN (FORMAT JSON)"
    async with engine.connect() as conn:
        dialect = engine.dialect
        parameters = {
            name: processor(compiled.params[name]) if processor else compiled.params[name]
            for name in compiled.params
            for processor in [
                compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            ]
        }
        positional = tuple(parameters[name] for name in compiled.positiontup)
        found = await conn.exec_driver_sql(f"{explain} {compiled}", positional)
        return json.dumps([list(row) for row in found], default=str)


@pytest.fixture
def postgres_url(postgres: PostgresDatabases) -> Iterator[str]:
    """A new one: where rows were deleted before, statistics and counters are others."""
    with postgres.fresh() as url:
        yield url


@pytest.fixture
def names() -> list[str]:
    return list(statements(build_tables(None)))


async def test_every_query_that_matters_uses_its_index(database_url: str, names: list[str]) -> None:
    engine = create_engine(database_url)
    async with engine.begin() as conn:
        await fill(conn)
    schema = None if engine.dialect.name == "sqlite" else "session_router"
    wrong = {}
    for name in names:
        statement, index = statements(build_tables(schema))[name]
        said = await plan(engine, statement)
        autoindex = f"sqlite_autoindex_{index.removesuffix('_pkey')}_1"
        if index not in said and autoindex not in said:
            wrong[name] = said
    await engine.dispose()
    assert wrong == {}


async def test_what_is_measured_has_a_bound(database_url: str) -> None:
    """However much there is: so many events, and so many rows of a table, at the most."""
    engine = create_engine(database_url)
    async with engine.begin() as conn:
        await fill(conn)
    is_sqlite = engine.dialect.name == "sqlite"
    t = build_tables(None if is_sqlite else "session_router")
    tally = await plan(engine, tallies.statement(t, 100, 200))
    counts = (stock.streams_by_type(t), stock.oldest_signal(t))
    limited = [str(count.compile(dialect=engine.dialect)) for count in counts]
    await engine.dispose()
    assert ("INTEGER PRIMARY KEY (rowid>" if is_sqlite else "session_events_pkey") in tally
    for statement in limited:
        assert re.search(r"FROM \(SELECT .* LIMIT [^)]*\)", statement, re.DOTALL)


async def test_no_batch_ever_reads_a_whole_table_or_all_that_is_idle(postgres_url: str) -> None:
    """Small tables tempt the planner most, and the plan that it makes then is kept."""
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    worker_id, agents = uuid4(), [AgentId("writer", str(number)) for number in range(20)]
    await repository.add_worker(worker_id, "host", 1)
    for _ in range(8):  # more often than a plan is made anew before it is kept
        registered = await asyncio.gather(
            *(
                repository.register_stream(
                    Register(f"s{a.key}", a, worker_id, uuid4(), renew=False)
                )
                for a in agents
            )
        )
        await asyncio.gather(
            *(repository.start_session(Start(f"s{n}", Requester())) for n in range(30))
        )
        await asyncio.gather(*(repository.touch_session(Touch(f"s{n}")) for n in range(40)))
        await asyncio.gather(
            *(
                repository.finish_stream(
                    Finish(f"s{a.key}", a, StreamOutcome.COMPLETED, stream_id=one.stream_id)
                )
                for a, one in zip(agents, registered, strict=True)
            )
        )
    await repository.close()
    engine = create_engine(postgres_url)
    used = await _scans(engine)
    await engine.dispose()
    whole = {name: n for name, n in used.items() if name.endswith("whole")}
    assert set(whole.values()) == {0}, whole
    assert used["sessions_pkey"] > 0
    assert used["agent_streams_pkey"] > 0
    assert used["sessions_idle_idx"] == 0


async def test_a_batch_on_sqlite_reads_no_whole_table(sqlite_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    async with repository.engine.begin() as conn:
        await fill(conn)
        driver: Any = (await conn.get_raw_connection()).driver_connection
        ran: list[str] = []
        await driver.set_trace_callback(ran.append)
    assert await repository.touch_session(Touch("s1")) is not None  # is written
    assert (
        await repository.touch_session(Touch("s1", resolution=timedelta(hours=1))) is not None
    )  # is not
    ours = {statement for statement in ran if "json_each" in statement}
    assert len(ours) == 3
    async with repository.engine.connect() as conn:
        for statement in ours:
            found = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            steps = [row.detail for row in found]
            assert any("sqlite_autoindex_sessions_1" in step for step in steps)
            assert all("json_each" in step for step in steps if step.startswith("SCAN"))
    await repository.close()


async def test_a_sweep_reads_what_is_idle_and_no_whole_table(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    worker_id, long_ago = uuid4(), datetime.now(UTC) - timedelta(days=1)
    await repository.add_worker(worker_id, "host", 1)
    for _ in range(8):
        for name in ("a", "b"):
            agent_id = AgentId("writer", name)
            await repository.register_stream(
                Register(name, agent_id, worker_id, uuid4(), renew=False)
            )
            await repository.save_session(
                Session(session_id=name, last_updated=long_ago, agents_streaming={agent_id})
            )
        batch = await repository.expire_sessions(timedelta(hours=1), Requester(), limit=10)
        assert (batch.sessions, batch.streams, len(batch.signals)) == (2, 2, 2)
    await repository.close()
    engine = create_engine(postgres_url)
    used = await _scans(engine)
    await engine.dispose()
    assert (used["sessions whole"], used["agent_streams whole"]) == (0, 0)
    assert used["sessions_idle_idx"] >= 8


async def _scans(engine: AsyncEngine) -> dict[str, int]:
    """How often each index, and each table as a whole, has been read."""
    statement = text("""
        SELECT indexrelname AS name, idx_scan AS n FROM pg_stat_user_indexes
        WHERE relname IN ('sessions', 'agent_streams')
        UNION ALL
        SELECT relname || ' whole', seq_scan FROM pg_stat_user_tables
        WHERE relname IN ('sessions', 'agent_streams')
    """)
    others = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with engine.connect() as conn:

        async def are_gone() -> bool:  # for then their counts are in
            return not (await conn.execute(others)).scalar_one()

        await eventually(are_gone)
        await conn.commit()
        return {row.name: row.n for row in await conn.execute(statement)}
