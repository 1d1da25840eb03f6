"""The audit trail: who did what, how long it took, and how it is read page by page."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError

from session_router import (
    AgentId,
    InMemorySessionRepository,
    Session,
    SessionEvent,
    SessionManager,
    SessionRepository,
)
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime
from tests.support.trail import events
from tests.support.waiting import eventually

A = AgentId("writer", "a")
NOBODY = UUID(int=0)


async def the(repository: SessionRepository, name: str) -> SessionEvent:
    [event] = await events(repository, name)
    return event


async def test_every_duration_is_in_one_row(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    session = await manager.start_session("s")
    await manager.register_agent("s", A)
    await manager.interrupt_streaming_agents("s")
    await manager.end_session("s")
    assert (await the(repository, "session_ended")).started_at == session.start_time
    stream_started = await the(repository, "stream_started")
    assert (await the(repository, "stream_finished")).started_at == stream_started.occurred_at
    requested = await the(repository, "interrupt_requested")
    assert (await the(repository, "signal_settled")).started_at == requested.occurred_at
    for event in await events(repository):
        assert event.started_at is None or event.started_at <= event.occurred_at


async def test_a_streams_own_time_is_that_of_its_registration(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", A)
    [row] = await repository.list_streams("s")
    await manager.unmark_agent_streaming("s", A)
    finished = await the(repository, "stream_finished")
    assert (finished.stream_id, finished.started_at) == (stream_id, row.started_at)


@pytest.mark.parametrize("ending", ["session_replaced", "session_expired"])
async def test_other_ends_of_a_session_tell_when_it_started_too(
    manager: SessionManager, repository: SessionRepository, ending: str
) -> None:
    began = datetime(2020, 2, 29, 12, 30, 15, 123_456, tzinfo=UTC)
    await repository.save_session(Session(session_id="s", start_time=began, last_updated=began))
    if ending == "session_replaced":
        await manager.start_new_session("s")
    else:
        await manager.expire_old_sessions()
    assert (await the(repository, ending)).started_at == began


async def test_session_events_name_the_worker_that_acted(
    managers: Managers, repository: SessionRepository
) -> None:
    starter, requester, ender = managers(), managers(), managers()
    await starter.start_session("s")
    await requester.interrupt_streaming_agents("s")
    await ender.end_session("s")
    acted = {event.event: event.worker_id for event in await events(repository)}
    assert acted == {
        "session_started": starter.worker_id,
        "interrupt_requested": requester.worker_id,
        "session_ended": ender.worker_id,
    }


async def test_what_begins_tells_who_asked_for_it(
    manager: SessionManager, repository: SessionRepository
) -> None:
    names = ["ann", None, "ben", "b\u00e9n \N{SNOWMAN}"]
    for number, actor in enumerate(names):
        # In one batch those that start, and those that register.
        await asyncio.gather(
            *(manager.start_session(f"s{number}/{n}", actor=actor) for n in range(3)),
            manager.start_session(f"s{number}/x", actor="other"),
            manager.register_agent(f"t{number}", A, actor=actor),
            manager.register_agent(f"t{number}/x", A, actor="other"),
        )
        begun = [f"s{number}/{n}" for n in range(3)] + [f"t{number}"]
        for session_id in begun:
            for event in await events(repository, session_id=session_id):
                assert (event.actor, event.event) in {
                    (actor, "session_started"),
                    (actor, "stream_started"),
                }
    await manager.start_new_session("s0/0", actor="cleo")
    told = [(event.event, event.actor) for event in await events(repository, session_id="s0/0")]
    assert told == [
        ("session_started", "ann"),
        ("session_replaced", "cleo"),
        ("session_started", "cleo"),
    ]


async def test_who_begins_a_stream_asks_for_the_stop_of_those_in_its_way(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A, actor="ann", when_busy="refuse")
    await manager.register_agent(
        "s", AgentId("critic", "c"), alone=True, when_busy="interrupt", actor="ben"
    )
    assert (await the(repository, "interrupt_requested")).actor == "ben"
    assert [e.actor for e in await events(repository, "stream_started")] == ["ann", "ben"]


async def test_stream_and_signal_events_name_the_streams_owner(
    managers: Managers, repository: SessionRepository
) -> None:
    owner, taker, ender = managers(Runtime()), managers(Runtime()), managers()
    owners = {
        await owner.register_agent("s", A): owner.worker_id,
        await taker.register_agent("s", A): taker.worker_id,
    }
    await ender.end_session("s")
    await eventually(lambda: _two_are_settled(repository))
    told = [event for event in await events(repository) if event.stream_id]
    assert len(told) == 6
    assert all(e.worker_id == owners[e.stream_id] for e in told if e.stream_id)


async def test_what_was_saved_by_hand_names_no_worker(repository: SessionRepository) -> None:
    await repository.save_session(Session(session_id="s", agents_streaming={A}))
    await repository.delete_session("s")
    for event in await events(repository):
        assert event.worker_id == (NOBODY if event.stream_id else None)


async def test_events_of_one_life_share_its_uid(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    for _ in range(2):
        await manager.register_agent("s", A)
        await manager.interrupt_streaming_agents("s")
        await manager.end_session("s")
    told = await events(repository)
    first, second = told[: len(told) // 2], told[len(told) // 2 :]
    assert [event.event for event in first] == [event.event for event in second]
    assert len({event.session_uid for event in first}) == 1
    assert len({event.session_uid for event in second}) == 1
    assert first[0].session_uid != second[0].session_uid


async def test_an_event_tells_which_agent_it_is_about(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A)
    assert (await the(repository, "session_started")).agent_id is None
    assert (await the(repository, "stream_started")).agent_id == A


async def test_an_event_is_fixed(manager: SessionManager, repository: SessionRepository) -> None:
    await manager.start_session("s")
    event = await the(repository, "session_started")
    with pytest.raises(ValidationError, match="frozen"):
        event.actor = "somebody else"  # type: ignore[misc]


async def test_events_are_read_page_by_page_in_their_order(
    manager: SessionManager, repository: SessionRepository
) -> None:
    for n in range(7):
        await manager.start_session(f"s{n}")
    read: list[SessionEvent] = []
    while page := await repository.list_events(after=read[-1].event_id if read else 0, limit=3):
        assert len(page) <= 3
        read += page
    assert [event.session_id for event in read] == [f"s{n}" for n in range(7)]
    ids = [event.event_id for event in read]
    assert ids == sorted(set(ids))


async def test_one_sessions_events_are_read_alone(
    manager: SessionManager, repository: SessionRepository
) -> None:
    for _ in range(3):
        for session_id in ("s", "t"):
            await manager.start_new_session(session_id)
    first, second = await repository.list_events("s", limit=2)
    rest = await repository.list_events("s", after=second.event_id)
    assert [event.event for event in (first, second, *rest)] == [
        "session_started",
        *["session_replaced", "session_started"] * 2,
    ]
    assert {event.session_id for event in (first, second, *rest)} == {"s"}
    assert await repository.list_events("unknown") == []
    assert await repository.list_events("s", after=rest[-1].event_id) == []


async def test_times_in_the_trail_are_aware_utc_and_do_not_go_back(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    for _ in range(3):
        await manager.register_agent("s", A)
        await manager.start_new_session("s")
    moments = [event.occurred_at for event in await events(repository, session_id="s")]
    assert all(moment.utcoffset() == timedelta(0) for moment in moments)
    assert moments == sorted(moments)


async def test_memory_keeps_the_newest_ten_thousand_events() -> None:
    repository = InMemorySessionRepository()
    manager = SessionManager(repository)
    await manager.start_session("s")
    for n in range(10_000):
        await manager.interrupt_streaming_agents("s", actor=str(n))
    kept = await repository.list_events(limit=20_000)
    assert len(kept) == 10_000
    assert [kept[0].actor, kept[-1].actor] == ["0", "9999"]


async def _two_are_settled(repository: SessionRepository) -> bool:
    return len(await events(repository, "signal_settled")) == 2


async def test_the_trail_can_be_tailed_and_be_read_once(
    manager: SessionManager, repository: SessionRepository
) -> None:
    seen: list[int] = []
    for _ in range(3):
        await manager.start_new_session("s")
        page = await repository.list_events("s", after=seen[-1] if seen else 0)
        seen += [event.event_id for event in page]
    assert len(seen) == 5
    once = await repository.list_events("s", tailing=False)
    assert [event.event_id for event in once] == seen
    assert await repository.list_events("s", after=seen[-1]) == []
    assert await repository.list_events("s", after=2**63 - 1) == []
