"""Signals: how they reach the owner of a stream, and what becomes of each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from uuid import uuid4

from session_router import AgentId, LocalAgentRuntime, SessionManager, SessionRepository
from session_router.repository.changes import Register
from tests.contract.conftest import Managers
from tests.support.runtimes import Agent, ForeignId, MinimalRuntime, Runtime
from tests.support.trail import events, settlements
from tests.support.waiting import eventually

A, B, C = (AgentId("writer", key) for key in "abc")


async def register(manager: SessionManager, *agents: AgentId, session_id: str = "s") -> None:
    for agent in agents:
        await manager.register_agent(session_id, agent)


def breaks() -> None:
    raise OSError("no route\n to agent")


async def breaks_later() -> None:
    await asyncio.sleep(0)
    breaks()


def hangs() -> Awaitable[None]:
    return _forever()


async def _forever() -> None:
    await asyncio.Event().wait()


async def one_word() -> AsyncIterator[str]:
    yield "word"
    await _forever()


async def test_plain_and_awaitable_cancels_are_both_delivered(
    managers: Managers, repository: SessionRepository
) -> None:
    stopped: list[str] = []

    async def stop_later() -> None:
        await asyncio.sleep(0)
        stopped.append("b")

    manager = managers(Runtime(a=lambda: stopped.append("a"), b=stop_later))
    await register(manager, A, B)
    await manager.interrupt_streaming_agents("s")
    assert sorted(stopped) == ["a", "b"]
    assert await settlements(repository) == {
        "writer/a": ("delivered", None),
        "writer/b": ("delivered", None),
    }


async def test_the_runtime_is_given_the_very_id_that_was_registered(managers: Managers) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    given = ForeignId("writer", "a")
    await manager.register_agent("s", given)
    await manager.interrupt_streaming_agents("s", [A])
    await manager.register_agent("s", given)
    await manager.end_session("s")
    assert [asked is given for asked in runtime.asked] == [True, True]
    assert [removed is given for removed in runtime.removed] == [True]


async def test_one_agents_failure_never_spares_the_others(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime(a=breaks, b=breaks_later)
    manager = managers(runtime)
    await register(manager, A, B, C)
    assert await manager.interrupt_streaming_agents("s") == [A, B, C]
    assert await settlements(repository) == {
        "writer/a": ("failed", "cancel raised OSError: no route to agent"),
        "writer/b": ("failed", "cancel raised OSError: no route to agent"),
        "writer/c": ("delivered", None),
    }
    assert runtime.cancels("c") == 1


async def test_an_agent_that_the_runtime_does_not_know_is_settled_as_failed(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = LocalAgentRuntime()
    agent = Agent(lambda: None)
    runtime.add(B, agent)
    manager = managers(runtime)
    await register(manager, A, B)
    await manager.interrupt_streaming_agents("s")
    settled = await settlements(repository)
    assert settled["writer/b"] == ("delivered", None)
    outcome, detail = settled["writer/a"]
    assert outcome == "failed"
    assert detail is not None
    assert "AgentNotFoundError" in detail
    assert agent.cancels == 1


async def test_a_cancel_that_hangs_is_settled_as_failed(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime(a=hangs), cancel_timeout_sec=0.2)
    await register(manager, A)
    assert await manager.interrupt_streaming_agents("s") == [A]
    assert await settlements(repository) == {
        "writer/a": ("failed", "cancel did not return within 0.2 s")
    }


async def test_a_cancel_that_hangs_holds_up_nobody(
    managers: Managers, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    manager = managers(Runtime(a=wait), cancel_timeout_sec=60)
    await register(manager, A, B)
    await register(manager, C, session_id="t")
    interrupting = asyncio.create_task(manager.interrupt_streaming_agents("s"))
    await eventually(lambda: events(repository, "signal_settled"))
    assert await settlements(repository) == {"writer/b": ("delivered", None)}
    await manager.interrupt_streaming_agents("t")
    assert (await settlements(repository))["writer/c"] == ("delivered", None)
    assert not interrupting.done()
    release.set()
    assert await interrupting == [A, B]
    assert (await settlements(repository))["writer/a"] == ("delivered", None)


async def test_a_cancel_that_ignores_its_own_cancellation_is_left_behind(
    managers: Managers, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    manager = managers(Runtime(a=stubborn), cancel_timeout_sec=0.2)
    await register(manager, A)
    await manager.interrupt_streaming_agents("s")
    assert (await settlements(repository))["writer/a"][0] == "failed"
    await manager.start_session("s")
    release.set()


async def test_a_runtime_that_cannot_remove_agents_is_asked_only_to_cancel(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = MinimalRuntime()
    manager = managers(runtime)
    await register(manager, A)
    await manager.end_session("s")
    assert runtime.agent.cancels == 1
    assert await settlements(repository) == {"writer/a": ("delivered", None)}


async def test_a_newer_stream_of_the_agent_in_this_worker_is_not_hit(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    old = await manager.register_agent("s", A)
    newer = manager.stream("s", A, one_word())
    assert await anext(newer) == "word"
    await eventually(lambda: events(repository, "signal_settled"))
    assert await settlements(repository) == {"writer/a": ("failed", "superseded")}
    [settled] = await events(repository, "signal_settled")
    assert settled.stream_id == old
    assert runtime.asked == []
    await newer.aclose()


async def test_a_stream_registered_while_its_agent_is_looked_for_is_not_hit(
    managers: Managers, repository: SessionRepository
) -> None:
    looking, found = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        looking.set()
        await found.wait()

    runtime = Runtime()
    runtime.before_finding = look
    manager = managers(runtime)
    await register(manager, A)
    interrupting = asyncio.create_task(manager.interrupt_streaming_agents("s"))
    await looking.wait()
    newer = await manager.register_agent("s", A)
    found.set()
    assert await interrupting == [A]
    assert await settlements(repository) == {"writer/a": ("failed", "superseded")}
    assert runtime.cancels("a") == 0
    [row] = await repository.list_streams("s")
    assert row.stream_id == newer


async def test_a_newer_stream_that_has_ended_shields_nobody(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime())
    await register(manager, A)
    await register(manager, A, session_id="t")
    await manager.unmark_agent_streaming("t", A)
    await manager.interrupt_streaming_agents("s")
    assert await settlements(repository) == {"writer/a": ("delivered", None)}


async def test_a_newer_stream_that_another_worker_ended_shields_nobody(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers()
    await register(manager, A)
    newer = await manager.register_agent("t", A)
    await other.unmark_agent_streaming("t", A, newer)
    await manager.interrupt_streaming_agents("s")
    assert await settlements(repository) == {"writer/a": ("delivered", None)}


async def test_another_workers_signals_wait_in_the_outbox_for_their_owner(
    managers: Managers, repository: SessionRepository
) -> None:
    owner, stream_id = uuid4(), uuid4()
    await repository.add_worker(owner, "elsewhere", 1)
    await repository.register_stream(Register("s", A, owner, stream_id, renew=False))
    runtime = Runtime()
    requester = managers(runtime)
    await register(requester, B)
    assert await requester.interrupt_streaming_agents("s") == [A, B]
    await requester.shutdown()
    assert await settlements(repository) == {"writer/b": ("delivered", None)}
    [waiting] = await repository.unsettled_signals(owner)
    assert (waiting.agent_id, waiting.stream_id, waiting.action) == (A, stream_id, "cancel")
    assert runtime.asked == [B]


async def test_the_owner_delivers_what_others_left_exactly_once(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    owner, requester = managers(runtime), managers()
    for key in "abcde":
        await owner.register_agent("s", AgentId("writer", key))
    signalled = await requester.interrupt_streaming_agents("s")
    await eventually(lambda: _all_settled(repository, len(signalled)))
    await owner.shutdown()  # looks into the outbox once more
    assert [runtime.cancels(key) for key in "abcde"] == [1] * 5
    assert set((await settlements(repository)).values()) == {("delivered", None)}
    assert {e.worker_id for e in await events(repository, "signal_settled")} == {
        event.worker_id for event in await events(repository, "stream_finished")
    }


async def test_a_signal_that_is_slow_to_deliver_is_not_delivered_again_by_the_next_poll(
    managers: Managers, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    runtime = Runtime(a=wait)
    owner, requester = managers(runtime, poll_interval_sec=0.005), managers()
    await register(owner, A)
    await requester.interrupt_streaming_agents("s")
    await eventually(lambda: runtime.cancels("a"))
    # The next signal is found by a later poll, which sees the first one still unsettled.
    await register(owner, B)
    await requester.interrupt_streaming_agents("s")
    await eventually(lambda: runtime.cancels("b"))
    release.set()
    await eventually(lambda: _all_settled(repository, 2))
    assert (runtime.cancels("a"), runtime.cancels("b")) == (1, 1)


async def _all_settled(repository: SessionRepository, number: int) -> bool:
    return len(await events(repository, "signal_settled")) == number
