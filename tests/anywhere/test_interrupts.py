"""Stop it anywhere: the interrupt reaches the worker in which the agent streams."""

import asyncio
import signal

import pytest

from session_router import AgentId
from session_router.events import EventName, SignalOutcome, StreamOutcome
from tests.anywhere.conftest import Workplace

ALICE, BOB = AgentId("writer", "alice"), AgentId("writer", "bob")


async def test_an_interrupt_stops_the_streams_of_every_worker(workplace: Workplace) -> None:
    first = await workplace.worker(("chat", "alice"), ("other", "carol"))
    second = await workplace.worker(("chat", "bob"))
    outcomes = await workplace.manager.interrupt_streaming_agents(
        "chat", actor="a person", reason="enough", wait=20
    )
    assert outcomes == {ALICE: SignalOutcome.DELIVERED, BOB: SignalOutcome.DELIVERED}
    assert (await first.hears("ended", key="alice"))["outcome"] == "interrupted"
    assert (await second.hears("ended", key="bob"))["outcome"] == "interrupted"
    session = await workplace.manager.get_session("other")
    assert session is not None
    assert session.agents_streaming == {AgentId("writer", "carol")}


async def test_only_the_named_agents_are_stopped(workplace: Workplace) -> None:
    worker = await workplace.worker(("chat", "alice"), ("chat", "bob"))
    outcomes = await workplace.manager.interrupt_streaming_agents("chat", [BOB], wait=20)
    assert outcomes == {BOB: SignalOutcome.DELIVERED}
    await worker.hears("ended", key="bob")
    session = await workplace.manager.get_session("chat")
    assert session is not None
    assert session.agents_streaming == {ALICE}


async def test_an_end_stops_the_streams_of_another_worker(workplace: Workplace) -> None:
    worker = await workplace.worker(("chat", "alice"))
    assert await workplace.manager.end_session("chat", actor="a person")
    assert (await worker.hears("ended", key="alice"))["outcome"] == "interrupted"
    assert await workplace.manager.get_session("chat") is None


async def test_a_stream_that_is_taken_over_stops_in_its_old_worker(workplace: Workplace) -> None:
    old = await workplace.worker(("chat", "alice"))
    new = await workplace.worker(("chat", "alice"))
    await old.hears("ended", key="alice", outcome="interrupted")
    await workplace.manager.interrupt_streaming_agents("chat", wait=20)
    await new.hears("ended", key="alice", outcome="interrupted")
    finished = await workplace.events(EventName.STREAM_FINISHED)
    assert [event.outcome for event in finished] == [
        StreamOutcome.SUPERSEDED,
        StreamOutcome.INTERRUPTED,
    ]


async def test_a_wait_ends_with_its_time_and_says_what_is_open(workplace: Workplace) -> None:
    worker = await workplace.worker(("chat", "alice"))
    await workplace.pause(worker)
    outcomes = await workplace.manager.interrupt_streaming_agents("chat", wait=0.2)
    assert outcomes == {ALICE: None}
    worker.send(signal.SIGCONT)
    await worker.hears("ended", key="alice")


async def test_many_interrupts_of_many_sessions_hit_each_stream_once(workplace: Workplace) -> None:
    streams = [(f"chat{n}", f"agent{n}") for n in range(20)]
    worker = await workplace.worker(*streams)
    async with asyncio.TaskGroup() as group:
        for session_id, _ in streams:
            for _ in range(3):
                group.create_task(workplace.manager.interrupt_streaming_agents(session_id))
    for _, key in streams:
        await worker.hears("ended", key=key)
    settled = await workplace.events(EventName.SIGNAL_SETTLED)
    while len(settled) < len(streams):
        settled = await workplace.events(EventName.SIGNAL_SETTLED)
    assert {event.outcome for event in settled} == {SignalOutcome.DELIVERED}


async def test_a_worker_that_is_terminated_finishes_its_streams(workplace: Workplace) -> None:
    worker = await workplace.worker(("chat", "alice"))
    await workplace.worker(("chat", "bob"))
    worker.send(signal.SIGTERM)
    await worker.hears("stopped")
    await worker.ended()
    [finished] = await workplace.events(EventName.STREAM_FINISHED)
    assert (finished.agent_id, finished.outcome) == (ALICE, StreamOutcome.WORKER_STOPPED)
    assert len(await workplace.repository.list_workers()) == 2


@pytest.mark.parametrize("wake_ups", ["listening", "polling", "sqlite"], indirect=True)
async def test_a_worker_tells_how_it_is_woken(workplace: Workplace, wake_ups: str) -> None:
    worker = await workplace.worker()
    wanted = "listening" if wake_ups == "listening" else "polling"
    async with asyncio.timeout(60):
        while True:
            await worker.tell("wake_ups")
            said = await worker.hears("wake_ups")
            if said["mode"] == wanted:
                break
    assert (said["reason"] is None) == (wanted == "listening")
