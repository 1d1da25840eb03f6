"""Interrupts of many sessions under one request, and the receipts of any."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from session_router import (
    AgentId,
    BulkInterrupt,
    InvalidValueError,
    SessionManager,
    SessionRepository,
    SignalOutcome,
)
from session_router.repository.changes import Register, StreamFilter
from session_router.repository.records import Requester
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime
from tests.support.trail import events, story
from tests.support.waiting import eventually

A, B = AgentId("writer", "a"), AgentId("critic", "a")


async def live(repository: SessionRepository, *session_ids: str) -> list[tuple[str, AgentId]]:
    return [
        (row.session_id, row.agent_id)
        for session_id in session_ids
        for row in await repository.list_streams(session_id)
    ]


async def test_all_streams_of_all_sessions_are_stopped_under_one_request(
    managers: Managers, repository: SessionRepository
) -> None:
    here, there = managers(Runtime()), managers(Runtime())
    await there.start()
    await here.register_agent("s", A)
    await there.register_agent("s", B)
    await there.register_agent("t", A)
    await here.start_session("quiet")

    done = await here.interrupt_all(actor="ann", reason="enough")

    assert (done.sessions, done.streams) == (2, 3)
    assert await live(repository, "s", "t") == []
    assert await story(repository, "quiet") == ["session_started"]
    asked = await events(repository, "interrupt_requested")
    assert [(e.session_id, e.actor, e.detail) for e in asked] == [
        ("s", "ann", "enough"),
        ("t", "ann", "enough"),
    ]
    assert {e.request_id for e in asked} == {done.request_id}

    async def are_in() -> bool:
        found = await here.receipts(done.request_id)
        return found is not None and not found.open

    await eventually(are_in)
    found = await here.receipts(str(done.request_id))
    assert found is not None
    assert (found.delivered, found.failed, found.lost, found.undelivered) == (3, 0, 0, [])
    assert found.requested_at == asked[0].occurred_at


@pytest.mark.parametrize(
    ("only", "left"),
    [
        ({"agent_type": "writer"}, [("s", B)]),
        ({"agent_type": "nobody"}, [("s", B), ("s", A), ("t", A)]),
        ({"older_than": timedelta(hours=1)}, [("s", B), ("s", A), ("t", A)]),
        ({"older_than": timedelta(microseconds=1)}, []),
    ],
)
async def test_only_what_matches_is_stopped(
    managers: Managers,
    repository: SessionRepository,
    only: dict[str, Any],
    left: list[tuple[str, AgentId]],
) -> None:
    manager = managers(Runtime())
    for session_id, agent_id in (("s", A), ("s", B), ("t", A)):
        await manager.register_agent(session_id, agent_id)
    await asyncio.sleep(0.002)  # SQLite's clock has milliseconds
    counted = await manager.interrupt_all(**only, dry_run=True)
    assert await live(repository, "s", "t") == [("s", B), ("s", A), ("t", A)]
    done = await manager.interrupt_all(**only)
    assert await live(repository, "s", "t") == left
    assert done.streams == counted.streams == 3 - len(left)
    assert done.sessions == counted.sessions
    assert len(await events(repository, "interrupt_requested")) == done.sessions


async def test_only_the_streams_of_one_worker_are_stopped(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    await manager.register_agent("s", A)
    await other.register_agent("s", B)
    done = await manager.interrupt_all(worker_id=other.worker_id)
    assert done.streams == 1
    assert await live(repository, "s") == [("s", A)]


async def test_it_goes_from_batch_to_batch_and_tells_how_far_it_is(
    managers: Managers, repository: SessionRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_router.interrupts._BULK_BATCH", 2)
    manager = managers(Runtime())
    sessions = [f"s{number}" for number in range(5)]
    for session_id in sessions:
        await manager.register_agent(session_id, A)
    told: list[BulkInterrupt] = []
    done = await manager.interrupt_all(progress=told.append)
    assert [(one.sessions, one.streams) for one in told] == [(2, 2), (4, 4), (5, 5)]
    assert told[-1] == done
    assert await live(repository, *sessions) == []


async def test_a_stream_registered_after_its_sessions_turn_is_not_hit(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    for session_id in ("a", "b"):
        await manager.register_agent(session_id, A)
    request_id, everything = uuid4(), StreamFilter()
    first = await repository.interrupt_matching(everything, Requester(), request_id, limit=1)
    late = await manager.register_agent("a", A)
    second = await repository.interrupt_matching(
        everything, Requester(), request_id, limit=1, after=first.position
    )
    third = await repository.interrupt_matching(
        everything, Requester(), request_id, limit=1, after=second.position
    )
    assert [batch.streams for batch in (first, second, third)] == [1, 1, 0]
    assert third.position is None
    assert [row.stream_id for row in await repository.list_streams("a")] == [late]


async def test_signals_that_did_not_stop_their_streams_are_named(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, silent = managers(), uuid4()  # the other looks for no signals
    await manager.register_agent("s", A)  # it hosts no such agent
    await repository.add_worker(silent, "host", 1)
    stream_id = uuid4()
    await repository.register_stream(Register("t", B, silent, stream_id, renew=False))
    done = await manager.interrupt_all()

    async def all_but_one_is_in() -> bool:
        found = await manager.receipts(done.request_id)
        return found is not None and (found.failed, found.open) == (1, 1)

    await eventually(all_but_one_is_in)
    await repository.remove_worker(silent)
    found = await manager.receipts(done.request_id)
    assert found is not None
    assert (found.delivered, found.failed, found.lost, found.open) == (0, 2, 0, 0)
    first, second = found.undelivered
    assert (first.session_id, first.agent_id, first.outcome) == ("s", A, SignalOutcome.FAILED)
    assert "not hosted" in str(first.detail)
    assert (second.stream_id, second.outcome) == (stream_id, SignalOutcome.FAILED)


async def test_receipts_are_there_for_an_interrupt_of_any_kind(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    assert await manager.receipts(uuid4()) is None
    await manager.register_agent("s", A)
    request = await manager.request_interrupt("s", wait=5)
    assert request is not None
    found = await manager.receipts(request.request_id)
    assert found is not None
    assert (found.delivered, found.open) == (1, 0)
    stream_id = await manager.register_agent("s", A)
    stop = await manager.interrupt_stream("s", stream_id, wait=5)
    found = await manager.receipts(stop.request_id)
    assert found is not None
    assert found.delivered == 1
    await manager.register_agent("s", A)
    ended = await repository.end_session("s", Requester())
    assert ended is not None
    found = await manager.receipts(ended.request_id)
    assert found is not None
    assert found.open + found.delivered == 1
    nothing = await manager.interrupt_all()
    assert (nothing.sessions, nothing.streams) == (0, 0)
    assert await manager.receipts(nothing.request_id) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent_type": "no type"},
        {"worker_id": "nobody"},
        {"older_than": timedelta(0)},
        {"actor": "a" * 2_001},
    ],
    ids=lambda wrong: str(*wrong),
)
async def test_what_is_not_acceptable_stops_nothing(
    manager: SessionManager, repository: SessionRepository, wrong: dict[str, Any]
) -> None:
    await manager.register_agent("s", A)
    with pytest.raises(InvalidValueError):
        await manager.interrupt_all(**wrong)
    assert await live(repository, "s") == [("s", A)]
