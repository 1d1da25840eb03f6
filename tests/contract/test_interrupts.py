"""Interrupts: who is stopped, what the trail says of it, and what is left alone."""

import asyncio

import pytest

from session_router import AgentId, SessionManager, SessionRepository
from tests.contract.conftest import Managers
from tests.support.laws import contents
from tests.support.runtimes import Runtime
from tests.support.trail import events, settlements, story

A, B, C = (AgentId("writer", key) for key in "abc")


async def streaming(repository: SessionRepository, session_id: str = "s") -> list[AgentId]:
    return [row.agent_id for row in await repository.list_streams(session_id)]


async def register(manager: SessionManager, *agents: AgentId, session_id: str = "s") -> None:
    for agent in agents:
        await manager.register_agent(session_id, agent)


async def test_an_interrupt_stops_every_stream_and_the_session_lives_on(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, B, A)
    assert await manager.interrupt_streaming_agents("s") == [A, B]
    session = await manager.get_session("s")
    assert session is not None
    assert session.agents_streaming == set()
    assert (runtime.cancels("a"), runtime.cancels("b"), runtime.removed) == (1, 1, [])
    told = await story(repository)
    assert told[3:6] == [
        "interrupt_requested",
        "stream_finished interrupted writer/a",
        "stream_finished interrupted writer/b",
    ]
    assert sorted(told[6:]) == [
        "signal_settled delivered writer/a",
        "signal_settled delivered writer/b",
    ]


async def test_only_the_named_agents_are_stopped(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A, B)
    assert await manager.interrupt_streaming_agents("s", [B, C]) == [B]
    assert await streaming(repository) == [A]
    assert (runtime.cancels("a"), runtime.cancels("b"), runtime.cancels("c")) == (0, 1, 0)


async def test_naming_no_agents_stops_none(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A)
    assert await manager.interrupt_streaming_agents("s", []) == []
    assert await streaming(repository) == [A]
    assert runtime.asked == []


async def test_an_interrupt_stays_within_its_session(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    await register(manager, A)
    await register(manager, B, session_id="t")
    await manager.interrupt_streaming_agents("s")
    assert await streaming(repository, "t") == [B]


async def test_the_trail_says_who_asked_and_why_and_joins_the_request_up(
    managers: Managers, repository: SessionRepository
) -> None:
    owner, requester = managers(Runtime()), managers()
    await register(owner, A)
    await requester.interrupt_streaming_agents("s", actor="alice", reason="wrong question")
    [requested] = await events(repository, "interrupt_requested")
    [finished] = await events(repository, "stream_finished")
    assert (requested.actor, requested.detail) == ("alice", "wrong question")
    assert requested.worker_id == requester.worker_id
    assert (requested.outcome, requested.started_at, requested.stream_id) == (None,) * 3
    assert finished.worker_id == owner.worker_id
    assert finished.request_id == requested.request_id is not None


async def test_an_interrupt_that_finds_nothing_streaming_is_on_record(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s")
    assert await manager.interrupt_streaming_agents("s", actor="alice") == []
    assert await story(repository) == ["session_started", "interrupt_requested"]


async def test_an_interrupt_of_an_unknown_session_writes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s")
    before = await contents(repository)
    assert await manager.interrupt_streaming_agents("unknown", actor="alice") == []
    assert await contents(repository) == before


async def test_a_second_interrupt_hits_only_what_streams_then(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A)
    assert await manager.interrupt_streaming_agents("s") == [A]
    assert await manager.interrupt_streaming_agents("s") == []
    assert runtime.cancels("a") == 1
    assert len(await events(repository, "interrupt_requested")) == 2


async def test_two_interrupts_at_once_stop_each_stream_once(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager, other = managers(runtime), managers()
    await register(manager, A, B)
    answers = await asyncio.gather(
        *(requester.interrupt_streaming_agents("s") for requester in (manager, other, manager))
    )
    assert sorted(agent for answer in answers for agent in answer) == [A, B]
    assert len(await events(repository, "stream_finished")) == 2


async def test_a_stream_registered_after_the_interrupt_goes_on(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A)
    await manager.interrupt_streaming_agents("s")
    later = await manager.register_agent("s", A)
    [row] = await repository.list_streams("s")
    assert row.stream_id == later
    assert runtime.cancels("a") == 1


async def test_agents_are_removed_only_when_their_session_ends(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A, B)
    await manager.interrupt_streaming_agents("s", [A])
    assert runtime.removed == []
    await manager.end_session("s")
    assert runtime.removed == [B]
    assert runtime.cancels("b") == 1
    assert await settlements(repository) == {
        "writer/a": ("delivered", None),
        "writer/b": ("delivered", None),
    }


async def test_agents_of_a_replaced_session_are_removed(managers: Managers) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await register(manager, A)
    await manager.start_new_session("s")
    assert (runtime.cancels("a"), runtime.removed) == (1, [A])


async def test_the_end_of_a_session_and_of_its_streams_share_one_request(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    await register(manager, A, B)
    await manager.end_session("s", actor="alice", reason="done")
    [ended] = await events(repository, "session_ended")
    finished = await events(repository, "stream_finished")
    settled = await events(repository, "signal_settled")
    assert {event.outcome for event in finished} == {"session_ended"}
    assert {e.request_id for e in (*finished, *settled)} == {ended.request_id}
    assert (ended.actor, ended.detail) == ("alice", "done")


@pytest.mark.parametrize("which", ["actor", "reason"])
async def test_actor_and_reason_are_as_long_as_they_may_be(
    manager: SessionManager, repository: SessionRepository, which: str
) -> None:
    await manager.start_session("s")
    text = "\N{GRINNING FACE}" * 2_000
    await manager.interrupt_streaming_agents("s", **{which: text})  # type: ignore[call-overload]
    before = await contents(repository)
    for refused in (text + "x", "a\0b", "\ud800"):
        with pytest.raises(ValueError, match=which):
            await manager.interrupt_streaming_agents("s", **{which: refused})  # type: ignore[call-overload]
        with pytest.raises(ValueError, match=which):
            await manager.end_session("s", **{which: refused})
    assert await contents(repository) == before
    [requested] = await events(repository, "interrupt_requested")
    assert text in (requested.actor, requested.detail)
