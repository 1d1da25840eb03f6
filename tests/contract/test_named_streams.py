"""Streams that are named by their callers: used once, and stopped exactly, even ahead."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from session_router import (
    AgentId,
    InvalidValueError,
    SessionManager,
    SessionRepository,
    SignalOutcome,
    StreamExistsError,
    StreamInterrupt,
    StreamOutcome,
    StreamStoppedError,
)
from session_router.repository.changes import StopStream
from session_router.repository.records import Requester
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime
from tests.support.trail import events, story

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def words() -> AsyncIterator[str]:
    for word in ("to", "be"):
        yield word


async def for_ever() -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.001)


async def live(repository: SessionRepository, session_id: str = "s") -> list[UUID]:
    return [row.stream_id for row in await repository.list_streams(session_id)]


async def test_a_stream_has_the_name_that_its_caller_gave_it(
    manager: SessionManager, repository: SessionRepository
) -> None:
    first, second = uuid4(), uuid4()
    assert await manager.register_agent("s", A, stream_id=first) == first
    stream = manager.stream("s", B, words(), stream_id=str(second))
    assert stream.stream_id == second
    await stream.start()
    assert await live(repository) == [first, second]
    assert [word async for word in stream] == ["to", "be"]


async def test_the_same_registration_repeated_changes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    await manager.register_agent("s", A, stream_id=name)
    told = await story(repository)
    assert await manager.register_agent("s", A, stream_id=name) == name
    assert await manager.register_agent("s", A) == name
    assert await story(repository) == told


async def test_a_new_name_supersedes_the_stream_of_the_same_worker(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A, stream_id=uuid4())
    name = uuid4()
    await manager.register_agent("s", A, stream_id=name)
    assert await live(repository) == [name]


async def test_a_name_is_used_once(managers: Managers, repository: SessionRepository) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    name = await manager.register_agent("s", A)
    told = await story(repository)
    for refused in (
        other.register_agent("s", A, stream_id=name),
        manager.register_agent("s", B, stream_id=name),
        manager.register_agent("elsewhere", A, stream_id=name),
    ):
        with pytest.raises(StreamExistsError, match=str(name)) as error:
            await refused
        assert error.value.stream_id == name
    assert await story(repository) == told
    assert await repository.find_session("elsewhere") is None
    await manager.unmark_agent_streaming("s", A)
    with pytest.raises(StreamExistsError):
        await manager.register_agent("s", A, stream_id=name)


async def test_a_stream_whose_name_was_refused_to_another_can_still_be_stopped(
    managers: Managers,
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    name = await manager.register_agent("s", A, stream_id=uuid4())
    with pytest.raises(StreamExistsError):
        await manager.register_agent("s", B, stream_id=name)
    assert (await manager.interrupt_stream("s", name, wait=5)).outcome is SignalOutcome.DELIVERED
    assert runtime.cancels("a") == 1


async def test_two_streams_of_one_name_are_one_and_an_error(manager: SessionManager) -> None:
    name = uuid4()
    first = manager.stream("s", A, for_ever(), stream_id=name)
    assert await anext(first) == 0
    second = manager.stream("s", A, words(), stream_id=name)
    with pytest.raises(StreamExistsError):
        await anext(second)
    assert await anext(first) == 1
    await first.aclose()


@pytest.mark.parametrize("name", ["", "writer", 7, "00000000-0000-0000-0000-00000000000g"])
async def test_what_is_no_uuid_names_no_stream(manager: SessionManager, name: str) -> None:
    for call in (
        lambda: manager.register_agent("s", A, stream_id=name),
        lambda: manager.interrupt_stream("s", name),
    ):
        with pytest.raises(InvalidValueError, match="is no UUID"):
            await call()
    with pytest.raises(InvalidValueError, match="is no UUID"):
        manager.stream("s", A, words(), stream_id=name)


async def test_exactly_the_named_stream_is_stopped_in_whichever_worker(
    managers: Managers, repository: SessionRepository
) -> None:
    here, there = managers(Runtime()), managers(Runtime())
    await there.start()
    stream = there.stream("s", A, for_ever(), stream_id=uuid4())
    spared = there.stream("s", B, for_ever())
    assert (await anext(stream), await anext(spared)) == (0, 0)
    found = await here.interrupt_stream("s", stream.stream_id, actor="ann", reason="no", wait=20)
    assert (found.found, found.agent_id, found.outcome) == ("live", A, SignalOutcome.DELIVERED)
    assert [item async for item in stream] == []
    assert stream.outcome is StreamOutcome.INTERRUPTED
    assert await anext(spared) == 1
    [asked] = await events(repository, "interrupt_requested")
    assert (asked.stream_id, asked.request_id) == (stream.stream_id, found.request_id)
    assert (asked.actor, asked.detail, asked.started_at) == ("ann", "no", None)
    await spared.aclose()


async def test_of_a_stream_that_is_over_nothing_is_stopped(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = await manager.register_agent("s", A)
    await manager.unmark_agent_streaming("s", A)
    found = await manager.interrupt_stream("s", name, wait=5)
    assert (found.found, found.agent_id, found.outcome) == ("over", A, None)
    assert (await story(repository))[-1] == "interrupt_requested"
    await manager.end_session("s")
    told = await story(repository)
    assert (await manager.interrupt_stream("s", name)).found == "over"
    assert await story(repository) == told


async def test_a_stop_that_comes_first_ends_the_registration_at_once(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    name = uuid4()
    found = await other.interrupt_stream("s", name, actor="ann", reason="changed my mind", wait=5)
    assert (found.found, found.agent_id, found.outcome) == ("ahead", None, None)
    assert await repository.find_session("s") is None

    with pytest.raises(StreamStoppedError, match=str(name)) as error:
        await manager.register_agent("s", A, stream_id=name)

    assert error.value.stream_id == name
    assert await live(repository) == []
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "interrupt_requested",
        "stream_finished interrupted writer/a",
        "signal_settled delivered writer/a",
    ]
    _, started, asked, finished, settled = await repository.list_events("s")
    assert {e.stream_id for e in (started, asked, finished, settled)} == {name}
    assert {e.request_id for e in (asked, finished, settled)} == {found.request_id}
    assert (asked.actor, asked.detail) == ("ann", "changed my mind")
    assert asked.started_at == settled.started_at
    assert asked.started_at is not None
    assert asked.started_at <= started.occurred_at
    assert (await other.interrupt_stream("s", name)).found == "over"


async def test_a_stream_that_was_stopped_ahead_yields_nothing_and_opens_nothing(
    manager: SessionManager,
) -> None:
    opened: list[int] = []

    def source() -> AsyncIterator[str]:
        opened.append(1)
        return words()

    for name in (uuid4(), uuid4()):
        await manager.interrupt_stream("s", name)
        stream = manager.stream("s", A, source, stream_id=name)
        await stream.start()
        assert [word async for word in stream] == []
        assert stream.outcome is StreamOutcome.INTERRUPTED
    assert opened == []


async def test_a_stop_ahead_leaves_all_other_streams_alone(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    running = await other.register_agent("s", A)
    name = uuid4()
    await manager.interrupt_stream("s", name)
    with pytest.raises(StreamStoppedError):
        await manager.register_agent("s", A, stream_id=name, when_busy="refuse", alone=True)
    assert await live(repository) == [running]
    elsewhere = uuid4()
    await manager.interrupt_stream("t", elsewhere)
    assert await manager.register_agent("s", B, stream_id=elsewhere) == elsewhere


async def test_the_first_of_two_stops_ahead_is_the_one_that_is_told(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    first = await manager.interrupt_stream("s", name, actor="ann")
    second = await manager.interrupt_stream("s", name, actor="ben")
    assert second == StreamInterrupt(found=first.found, request_id=first.request_id)
    with pytest.raises(StreamStoppedError):
        await manager.register_agent("s", A, stream_id=name)
    [asked] = await events(repository, "interrupt_requested")
    assert asked.actor == "ann"


async def test_a_stop_that_nobody_came_for_holds_no_longer_than_its_time(
    managers: Managers, repository: SessionRepository
) -> None:
    brief = managers(Runtime(), early_stop_sec=0.001)
    name = uuid4()
    await brief.interrupt_stream("s", name)
    await asyncio.sleep(0.01)
    assert await brief.register_agent("s", A, stream_id=name) == name

    stops = [uuid4() for _ in range(5)]
    for stop in stops:
        await repository.interrupt_stream(StopStream("s", stop, Requester(), timedelta(minutes=1)))
    assert await repository.clear_early_stops(timedelta(minutes=1), limit=10) == 0
    assert await repository.clear_early_stops(timedelta(0), limit=3) == 3
    await asyncio.sleep(0.01)
    await brief.expire_old_sessions()
    assert await repository.clear_early_stops(timedelta(0), limit=10) == 0
