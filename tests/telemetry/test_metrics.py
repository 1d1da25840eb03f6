"""What metrics tell, of each repository: compared with the trail, and with what was done."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from session_router import (
    AgentId,
    Session,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.client import connect
from session_router.repository.changes import Register
from session_router.repository.records import Requester
from session_router.settings import Tuning
from session_router.telemetry import metrics as metrics_module
from session_router.telemetry.counts import TYPES_NAMED
from session_router.telemetry.metrics import Metrics
from tests.support.trail import events
from tests.support.waiting import eventually

A, B = AgentId("writer", "a"), AgentId("reader", "b")
PREFIX = "session_router_"
ASKED = """
    INSERT INTO session_router.session_events (session_id, session_uid, event)
    VALUES ('s', gen_random_uuid(), 'interrupt_requested')
"""
BY_HAND = """
    INSERT INTO sessions VALUES ('by hand', 'no uid', 'long ago', 'a while ago', NULL, NULL);
    INSERT INTO interrupt_signals
    VALUES ('a', 'b', 'c', 's', 'd', 'writer', 'a', 'e', 'cancel', 'a while ago');
    INSERT INTO workers (worker_id, host, pid, started_at, heartbeat_at)
    VALUES ('by hand', 'box', 1, 'long ago', '')
"""


def told(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One number of a scrape; None where there is none such."""
    return metrics.registry.get_sample_value(PREFIX + name, labels)


def all_told(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The numbers of one name, by the values of its labels."""
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == PREFIX + name
    }


async def words() -> AsyncIterator[str]:
    while True:
        yield "word"
        await asyncio.sleep(0.001)


async def end_streams_in_many_ways(manager: SessionManager) -> None:
    """Streams that are completed, interrupted, superseded, and that end with their sessions."""
    repository = manager.repository
    other = SessionManager(repository)
    for agent_id in (A, B):
        await manager.register_agent("completed", agent_id)
        await manager.unmark_agent_streaming("completed", agent_id)
    await manager.register_agent("interrupted", A)
    await manager.interrupt_streaming_agents("interrupted")
    await manager.interrupt_streaming_agents("interrupted")
    await manager.register_agent("taken over", A)
    await other.register_agent("taken over", A)
    await manager.register_agent("ended", B)
    await manager.end_session("ended")
    await manager.register_agent("replaced", B)
    await manager.start_new_session("replaced")
    await manager.register_agent("expired", A)
    session = await repository.find_session("expired")
    assert session is not None
    session.last_updated = datetime.now(UTC) - timedelta(hours=1)
    await repository.save_session(session)
    await manager.expire_old_sessions()
    stream = manager.stream("left", A, words())
    await anext(stream)
    await stream.aclose()
    await other.shutdown()


async def test_what_ended_is_what_the_trail_tells(
    manager: SessionManager, metrics: Metrics, repository: SessionRepository
) -> None:
    await end_streams_in_many_ways(manager)
    await manager.shutdown()
    await metrics.refresh()
    finished = await events(repository, "stream_finished")
    settled = await events(repository, "signal_settled")
    asked = await events(repository, "interrupt_requested")
    streams = all_told(metrics, "stream_duration_seconds_count")
    signals = all_told(metrics, "signal_settle_seconds_count")
    assert streams == Counter((str(e.agent_type), str(e.outcome)) for e in finished)
    assert len({outcome for _, outcome in streams}) >= 7
    assert {k: v for k, v in signals.items() if v} == Counter((str(e.outcome),) for e in settled)
    assert told(metrics, "interrupts_total") == len(asked) == 2
    seconds = sum(all_told(metrics, "stream_duration_seconds_sum").values())
    assert seconds == pytest.approx(sum(e.duration_sec or 0 for e in finished), abs=1e-3)


async def test_what_was_before_is_not_counted_and_nothing_is_counted_twice(
    manager: SessionManager,
) -> None:
    await end_streams_in_many_ways(manager)
    metrics = Metrics(manager)
    await metrics.refresh()
    assert all_told(metrics, "stream_duration_seconds_count") == {}
    await manager.register_agent("s", A)
    await manager.unmark_agent_streaming("s", A)
    for _ in range(3):
        await metrics.refresh()
    assert all_told(metrics, "stream_duration_seconds_count") == {("writer", "completed"): 1}


async def test_what_commits_late_is_counted_once_and_not_missed(postgres_url: str) -> None:
    """Events are numbered in another order than their transactions commit in."""
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    metrics = Metrics(manager)
    await manager.start_session("s")
    await metrics.refresh()
    async with repository.engine.connect() as conn:
        await conn.execute(text(ASKED))
        await manager.interrupt_streaming_agents("s")
        await metrics.refresh()
        before = told(metrics, "interrupts_total")
        await conn.commit()
    await metrics.refresh()
    assert before == 0
    assert told(metrics, "interrupts_total") == 2
    await metrics.refresh()
    assert told(metrics, "interrupts_total") == 2
    await repository.close()


async def test_how_the_database_is_now(manager: SessionManager, metrics: Metrics) -> None:
    await manager.register_agent("s1", A)
    await manager.register_agent("s2", A)
    await manager.register_agent("s2", B)
    await manager.start_session("s3")
    await metrics.refresh()
    assert told(metrics, "sessions_live") == 3
    assert all_told(metrics, "streams_live") == {("writer",): 2, ("reader",): 1}
    assert told(metrics, "workers_live") == 1
    assert told(metrics, "signals_unsettled") == 0
    assert told(metrics, "signals_oldest_seconds") == 0
    assert told(metrics, "sweep_lag_seconds") == 0


async def test_what_was_long_ago_is_not_told_as_if_it_were_now(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(metrics, "sessions_live") == 0
    monkeypatch.setattr(metrics_module, "_STALE_SEC", 0.0)
    assert told(metrics, "sessions_live") is None
    assert told(metrics, "interrupts_total") == 0


async def test_a_worker_without_a_lease_does_not_live(repository: SessionRepository) -> None:
    tuning = Tuning(heartbeat_interval_sec=0.01, lease_sec=0.05)
    manager = SessionManager(repository, tuning=tuning)
    metrics = Metrics(manager)
    await repository.add_worker(manager.worker_id, "box", 1)

    async def is_out_of_lease() -> bool:
        await metrics.refresh()
        return told(metrics, "workers_live") == 0

    await eventually(is_out_of_lease)


async def test_a_signal_that_nobody_obeys_grows_old(
    metrics: Metrics, repository: SessionRepository
) -> None:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "box", 1)
    await repository.register_stream(Register("s", A, worker_id, uuid4(), renew=False))
    await repository.interrupt_streams("s", None, Requester())

    async def is_old() -> bool:
        await metrics.refresh()
        return (told(metrics, "signals_oldest_seconds") or 0) > 0

    await eventually(is_old)
    assert told(metrics, "signals_unsettled") == 1
    await repository.remove_worker(worker_id)
    await metrics.refresh()
    assert told(metrics, "signals_unsettled") == told(metrics, "signals_oldest_seconds") == 0
    assert told(metrics, "signal_settle_seconds_count", outcome="failed") == 1


async def test_rows_by_hand_that_cannot_be_read_hide_no_others(sqlite_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(sqlite_url)
    manager = SessionManager(repository)
    metrics = Metrics(manager)
    await manager.register_agent("s", A)
    async with repository.engine.begin() as conn:
        for statement in BY_HAND.split(";"):
            await conn.execute(text(statement))
    await metrics.refresh()
    assert told(metrics, "sessions_live") == 2
    assert told(metrics, "signals_unsettled") == 1
    assert told(metrics, "workers_live") == 1
    assert told(metrics, "signals_oldest_seconds") == told(metrics, "sweep_lag_seconds") == 0
    await manager.shutdown()
    await repository.close()


async def test_the_sweep_lags_by_what_is_due_the_longest(
    manager: SessionManager, metrics: Metrics, repository: SessionRepository
) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=90)
    await repository.save_session(Session(session_id="idle", last_updated=moment))
    await metrics.refresh()
    assert told(metrics, "sweep_lag_seconds") == pytest.approx(60 * 60, abs=60)
    await manager.start_session("own", timeout_minutes=1)
    session = await repository.find_session("own")
    assert session is not None
    session.last_updated = moment
    await repository.save_session(session)
    await metrics.refresh()
    assert told(metrics, "sweep_lag_seconds") == pytest.approx(89 * 60, abs=60)
    await manager.expire_old_sessions()
    await metrics.refresh()
    assert told(metrics, "sweep_lag_seconds") == 0


async def test_types_beyond_a_limit_are_one(manager: SessionManager, metrics: Metrics) -> None:
    for number in range(TYPES_NAMED + 20):
        agent_id = AgentId(f"type{number}", "a")
        await manager.register_agent("s", agent_id)
        if number % 2:
            await manager.unmark_agent_streaming("s", agent_id)
    await metrics.refresh()
    await metrics.refresh()
    live = all_told(metrics, "streams_live")
    ended = all_told(metrics, "stream_duration_seconds_count")
    named = {types[0] for types in (*live, *ended)}
    assert len(named) == TYPES_NAMED + 1
    assert "other" in named
    assert sum(live.values()) == sum(ended.values()) == (TYPES_NAMED + 20) / 2


async def test_no_metric_names_a_session(manager: SessionManager, metrics: Metrics) -> None:
    await end_streams_in_many_ways(manager)
    await metrics.refresh()
    content, media_type = metrics.exposition("")
    assert media_type.startswith("text/plain")
    labels = {
        label
        for family in metrics.registry.collect()
        for sample in family.samples
        for label in sample.labels
    }
    assert labels == {"agent_type", "outcome", "le", "version"}
    for session_id in (b'completed"}', b"taken over", b'replaced"}'):
        assert b"session_id=" + session_id not in content


async def test_receipts_that_never_were_are_told_as_none(metrics: Metrics) -> None:
    """Prometheus sees no increase in what appears with its first value."""
    assert all_told(metrics, "signal_settle_seconds_count") == {
        (outcome,): 0 for outcome in ("delivered", "failed", "lost")
    }
    assert told(metrics, "interrupts_total") == 0


async def test_within_its_block_it_looks_by_itself(manager: SessionManager) -> None:
    await manager.start_session("s")
    async with Metrics(manager) as metrics:
        await eventually(lambda: told(metrics, "sessions_live") == 1)


async def test_group_commit_tells_how_many_share_a_batch(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    metrics = Metrics(manager)
    await asyncio.gather(*(manager.start_session(f"s{number}") for number in range(100)))
    batches = told(metrics, "group_commit_batch_size_count")
    assert told(metrics, "group_commit_batch_size_sum") == 100
    assert batches is not None
    assert batches < 100
    assert told(metrics, "group_commit_batch_size_bucket", le="+Inf") == batches
    assert told(metrics, "group_commit_waiting") == 0
    await manager.shutdown()
    await repository.close()


async def test_who_waits_for_a_batch_is_told(postgres_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(postgres_url)
    manager = SessionManager(repository)
    metrics = Metrics(manager)
    asked = [asyncio.create_task(manager.start_session(f"s{number}")) for number in range(10)]
    await asyncio.sleep(0)  # each has come so far that it waits
    assert told(metrics, "group_commit_waiting") == 10
    await asyncio.gather(*asked)
    assert told(metrics, "group_commit_waiting") == 0
    await repository.close()


async def test_a_client_tells_of_its_own_process_only() -> None:
    manager = connect("http://127.0.0.1:9")
    metrics = Metrics(manager)
    await metrics.refresh()
    assert told(metrics, "sessions_live") is None
    assert told(metrics, "interrupts_total") is None
    assert told(metrics, "group_commit_waiting") == 0
    await manager.repository.close()


async def test_two_managers_have_registries_of_their_own_or_share_one(
    manager: SessionManager,
) -> None:
    own, shared = Metrics(manager), CollectorRegistry()
    assert own.registry is not Metrics(manager).registry
    assert Metrics(manager, registry=shared).registry is shared
