"""What a registration does about streams in its way: takes over, refuses, or interrupts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from session_router import (
    AgentId,
    InvalidValueError,
    SessionBusyError,
    SessionManager,
    SessionRepository,
    StreamOutcome,
)
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime
from tests.support.trail import story

A, B, C = (AgentId("writer", key) for key in "abc")


async def numbers() -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.001)


async def live(repository: SessionRepository) -> dict[AgentId, UUID]:
    return {row.agent_id: row.stream_id for row in await repository.list_streams("s")}


async def test_a_busy_agent_is_refused_and_nothing_is_written(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    running = await manager.register_agent("s", A)
    told, session = await story(repository), await repository.find_session("s")
    with pytest.raises(SessionBusyError, match="writer/a streams in it") as error:
        await other.register_agent("s", A, when_busy="refuse")
    assert (error.value.session_id, error.value.streams) == ("s", {running: "writer/a"})
    assert await story(repository) == told
    assert await repository.find_session("s") == session
    beside = await other.register_agent("s", B, when_busy="refuse")
    await manager.unmark_agent_streaming("s", A)
    next_one = await other.register_agent("s", A, when_busy="refuse")
    assert await live(repository) == {A: next_one, B: beside}


async def test_alone_any_stream_of_the_session_is_in_the_way(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    streams = [await manager.register_agent("s", agent) for agent in (A, B)]
    with pytest.raises(SessionBusyError, match="writer/a, writer/b stream in it") as error:
        await other.register_agent("s", C, when_busy="refuse", alone=True)
    assert list(error.value.streams) == streams
    stream_id = await other.register_agent("s", C, alone=True)
    assert await live(repository) == {C: stream_id}
    finished = [event for event in await story(repository) if "finished" in event]
    assert finished == [
        "stream_finished superseded writer/a",
        "stream_finished superseded writer/b",
    ]


async def test_the_own_registration_repeated_is_in_nobodys_way(manager: SessionManager) -> None:
    stream_id = await manager.register_agent("s", A, when_busy="refuse", alone=True)
    again = await manager.register_agent("s", A, when_busy="refuse", alone=True)
    assert again == stream_id


@pytest.mark.parametrize("agents", [(A, A), (A, B)], ids=["one agent", "two agents"])
async def test_of_registrations_that_refuse_each_others_exactly_one_wins(
    managers: Managers, repository: SessionRepository, agents: tuple[AgentId, ...]
) -> None:
    workers = [managers(Runtime()) for _ in range(4)]
    asked = [
        worker.register_agent("s", agent, when_busy="refuse", alone=True)
        for worker in workers
        for agent in set(agents)
    ]
    told = await asyncio.gather(*asked, return_exceptions=True)
    won = [one for one in told if isinstance(one, UUID)]
    lost = [one for one in told if isinstance(one, SessionBusyError)]
    assert len(set(won)) == 1
    assert len(won) + len(lost) == len(told)
    assert list((await live(repository)).values()) == won[:1]


async def test_what_is_interrupted_has_stopped_before_the_source_begins(
    managers: Managers, repository: SessionRepository
) -> None:
    here, there = managers(Runtime()), managers(Runtime())
    await there.start()
    closed: list[str] = []

    async def slow_to_close() -> AsyncIterator[int]:
        try:
            async for number in numbers():
                yield number
        finally:
            await asyncio.sleep(0.05)
            closed.append("the old one")

    async def source() -> AsyncIterator[list[str]]:
        yield list(closed)

    old = there.stream("s", A, slow_to_close())
    await anext(old)
    new = here.stream("s", B, source(), when_busy="interrupt", alone=True)
    assert [items async for items in new] == [["the old one"]]
    assert [item async for item in old] == []
    assert old.outcome is StreamOutcome.INTERRUPTED
    told = await story(repository)
    assert told[2:5] == [
        "interrupt_requested",
        "stream_finished interrupted writer/a",
        "stream_started writer/b",
    ]


async def test_what_does_not_stop_is_waited_for_in_bounds(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime(), cancel_timeout_sec=0.1)
    gone = managers(Runtime())
    await gone.register_agent("s", A)  # its worker looks for no signals
    stream_id = await manager.register_agent("s", A, when_busy="interrupt")
    assert await live(repository) == {A: stream_id}


async def test_where_nobody_is_in_the_way_it_is_a_registration_like_any(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A, when_busy="interrupt", alone=True)
    assert await story(repository) == ["session_started", "stream_started writer/a"]


@pytest.mark.parametrize("when_busy", ["", "wait", None, 7])
async def test_what_else_is_no_way_to_register(manager: SessionManager, when_busy: Any) -> None:
    with pytest.raises(InvalidValueError, match="take_over, refuse, interrupt"):
        await manager.register_agent("s", A, when_busy=when_busy)
