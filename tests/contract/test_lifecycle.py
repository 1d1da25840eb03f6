"""A manager's life: it starts, shuts down, and starts again as another worker."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from session_router import AgentId, SessionManager, SessionRepository
from session_router.repository.changes import Register
from session_router.repository.results import Leftovers
from tests.contract.conftest import Managers
from tests.support.laws import contents
from tests.support.runtimes import Runtime
from tests.support.trail import events, settlements, story
from tests.support.waiting import eventually

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def words(closed: list[str]) -> AsyncIterator[str]:
    try:
        yield "word"
        await asyncio.Event().wait()
    finally:
        closed.append("closed")


async def test_starting_twice_is_starting_once(manager: SessionManager) -> None:
    await manager.start()
    worker_id = manager.worker_id
    await asyncio.gather(manager.start(), manager.start())
    assert manager.worker_id == worker_id


async def test_starts_at_once_are_one_start(manager: SessionManager) -> None:
    await asyncio.gather(*(manager.start() for _ in range(5)))
    await manager.register_agent("s", A)


async def test_a_start_that_was_cancelled_can_be_repeated(
    manager: SessionManager, repository: SessionRepository
) -> None:
    starting = asyncio.create_task(manager.start())
    await asyncio.sleep(0)  # it is on its way to the database
    starting.cancel()
    await asyncio.wait({starting})
    await manager.start()
    await manager.register_agent("s", A)
    assert len(await repository.list_streams("s")) == 1


async def test_entering_a_worker_twice_is_no_error(repository: SessionRepository) -> None:
    worker_id = uuid4()
    await repository.add_worker(worker_id, "here", 1)
    await repository.add_worker(worker_id, "here", 1)
    await repository.register_stream(Register("s", A, worker_id, uuid4(), renew=False))


async def test_shutting_down_twice_is_shutting_down_once(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start()
    await manager.register_agent("s", A)
    await asyncio.gather(manager.shutdown(), manager.shutdown())
    before = await contents(repository)
    await manager.shutdown()
    assert await contents(repository) == before
    assert len(await events(repository, "stream_finished")) == 1


async def test_shutting_down_what_never_started_writes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.shutdown()
    assert await story(repository) == []
    await manager.start()
    await manager.register_agent("s", A)


async def test_starting_again_makes_a_new_worker(
    manager: SessionManager, repository: SessionRepository
) -> None:
    workers = []
    for _ in range(3):
        await manager.start()
        workers.append(manager.worker_id)
        await manager.register_agent("s", A)
        [row] = await repository.list_streams("s")
        assert row.worker_id == manager.worker_id
        await manager.shutdown()
    assert len(set(workers)) == 3


async def test_the_jobs_run_again_after_a_restart(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    owner, requester = managers(runtime), managers()
    await owner.start()
    await owner.shutdown()
    await owner.start()
    await owner.register_agent("s", A)
    await requester.interrupt_streaming_agents("s")
    await eventually(lambda: events(repository, "signal_settled"))
    assert runtime.cancels("a") == 1


async def test_a_manager_is_a_context_manager(repository: SessionRepository) -> None:
    async def work() -> None:
        async with SessionManager(repository) as manager:
            await manager.register_agent("s", A)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished worker_stopped writer/a",
    ]


async def test_shutting_down_finishes_the_workers_own_streams_and_no_others(
    managers: Managers, repository: SessionRepository
) -> None:
    leaving, staying = managers(), managers()
    for session_id in ("s", "t"):
        await leaving.register_agent(session_id, A)
        await staying.register_agent(session_id, B)
    gone = leaving.worker_id
    await leaving.shutdown()
    for session_id in ("s", "t"):
        [left] = await repository.list_streams(session_id)
        assert (left.agent_id, left.worker_id) == (B, staying.worker_id)
    finished = await events(repository, "stream_finished")
    assert [(e.outcome, e.worker_id) for e in finished] == [("worker_stopped", gone)] * 2
    assert await events(repository, "signal_settled") == []


async def test_shutting_down_closes_what_streams_through_the_manager(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, closed = managers(), list[str]()
    stream = manager.stream("s", A, words(closed))
    assert await anext(stream) == "word"
    waiting = asyncio.create_task(anext(stream, "end"))
    await manager.shutdown()
    assert await waiting == "end"
    assert closed == ["closed"]
    assert (await story(repository))[2:] == ["stream_finished worker_stopped writer/a"]


async def test_shutting_down_settles_the_workers_signals(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    owner, requester = managers(runtime), managers()
    await owner.register_agent("s", A)
    await owner.register_agent("s", B)
    await requester.interrupt_streaming_agents("s")
    gone = owner.worker_id
    await owner.shutdown()
    assert await repository.unsettled_signals(gone) == []
    assert await settlements(repository) == {
        "writer/a": ("delivered", None),
        "writer/b": ("delivered", None),
    }
    assert (runtime.cancels("a"), runtime.cancels("b")) == (1, 1)


async def test_shutting_down_is_not_held_up_by_an_agent_that_hangs(
    managers: Managers, repository: SessionRepository
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    owner, requester = managers(Runtime(a=hang), cancel_timeout_sec=0.1), managers()
    await owner.register_agent("s", A)
    await requester.interrupt_streaming_agents("s")
    await owner.shutdown()
    assert (await settlements(repository))["writer/a"][0] == "failed"


async def test_shutting_down_is_not_held_up_by_a_source_that_will_not_close(
    managers: Managers, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def stubborn() -> AsyncIterator[str]:
        yield "word"
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    manager = managers(cancel_timeout_sec=0.1)
    stream = manager.stream("s", A, stubborn())
    assert await anext(stream) == "word"
    waiting = asyncio.create_task(anext(stream, "end"))
    await asyncio.sleep(0)
    await manager.shutdown()
    assert await waiting == "end"
    assert (await story(repository))[2:] == ["stream_finished worker_stopped writer/a"]
    release.set()


async def test_shutting_down_closes_even_a_stream_that_was_unmarked_already(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, closed = managers(), list[str]()
    stream = manager.stream("s", A, words(closed))
    assert await anext(stream) == "word"
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await manager.unmark_agent_streaming("s", A)
    await manager.shutdown()
    await asyncio.wait({consumer}, timeout=10)
    assert consumer.done()
    assert closed == ["closed"]
    await stream.aclose()
    assert (await story(repository))[2:] == ["stream_finished completed writer/a"]


async def test_a_worker_that_left_leaves_no_signals_behind(
    manager: SessionManager, repository: SessionRepository
) -> None:
    gone = uuid4()
    await repository.add_worker(gone, "elsewhere", 1)
    await repository.register_stream(Register("s", A, gone, uuid4(), renew=False))
    await manager.interrupt_streaming_agents("s")
    await repository.register_stream(Register("s", B, gone, uuid4(), renew=False))
    assert await repository.remove_worker(gone) == Leftovers(streams=1, signals=1, workers=1)
    assert await repository.remove_worker(gone) == Leftovers()
    assert await repository.list_streams("s") == []
    outcome, detail = (await settlements(repository))["writer/a"]
    assert outcome == "failed"
    assert detail is not None
    assert "worker stopped" in detail


async def test_registering_works_without_a_start(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    owner, requester = managers(runtime), managers()
    await owner.register_agent("s", A)
    await requester.interrupt_streaming_agents("s")
    await eventually(lambda: events(repository, "signal_settled"))
    assert await settlements(repository) == {"writer/a": ("delivered", None)}


async def test_a_manager_that_was_shut_down_still_answers(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A)
    gone = manager.worker_id
    await manager.shutdown()
    assert await manager.get_session("s") is not None
    await manager.register_agent("s", A)
    [row] = await repository.list_streams("s")
    assert row.worker_id == manager.worker_id != gone


async def test_shutting_down_leaves_no_task_behind(
    managers: Managers, repository: SessionRepository
) -> None:
    before = asyncio.all_tasks()
    manager = managers(Runtime())
    await manager.start()
    stream = manager.stream("s", A, words([]))
    await anext(stream)
    await manager.register_agent("s", B)
    await manager.interrupt_streaming_agents("s", [B])
    await manager.shutdown()
    assert asyncio.all_tasks() == before
