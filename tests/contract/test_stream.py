"""`stream()`: what its consumer sees, and how each way to end it stands in the trail."""

import asyncio
import gc

import pytest

from session_router import AgentId, SessionManager, SessionRepository
from session_router.errors import InvalidAgentIdError, InvalidSessionIdError
from tests.contract.conftest import Managers
from tests.support.runtimes import ForeignId, Runtime
from tests.support.sources import Source, fail_with, hang, ignore_one_cancellation
from tests.support.trail import events, settlements, story
from tests.support.waiting import eventually

A = AgentId("writer", "a")


async def ended_as(repository: SessionRepository, outcome: str) -> None:
    """Wait until the one stream of the trail has ended, and check how."""
    await eventually(lambda: events(repository, "stream_finished"))
    told = [line for line in await story(repository) if line.startswith("stream")]
    assert told == ["stream_started writer/a", f"stream_finished {outcome} writer/a"]
    assert await repository.list_streams("s") == []


async def test_items_pass_through_and_the_stream_completes(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two", "three")
    stream = manager.stream("s", A, source)
    assert [item async for item in stream] == ["one", "two", "three"]
    assert stream.outcome == "completed"
    assert source.is_closed
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished completed writer/a",
    ]


async def test_while_items_flow_the_stream_is_registered_under_its_id(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source("one", then=hang))
    assert await repository.list_streams("s") == []
    assert await anext(stream) == "one"
    assert stream.outcome is None
    [row] = await repository.list_streams("s")
    assert (row.stream_id, row.worker_id) == (stream.stream_id, manager.worker_id)
    await stream.aclose()
    assert {e.stream_id for e in await events(repository) if e.stream_id} == {stream.stream_id}


async def test_an_empty_source_is_a_stream_too(
    manager: SessionManager, repository: SessionRepository
) -> None:
    assert [item async for item in manager.stream("s", ForeignId("writer", "a"), Source())] == []
    await ended_as(repository, "completed")


async def test_a_source_is_never_asked_for_more_than_its_consumer_takes(
    manager: SessionManager,
) -> None:
    source = Source(*"abcdef")
    stream = manager.stream("s", A, source)
    for taken in range(1, 4):
        await anext(stream)
        await manager.get_session("s")
        assert source.produced == taken
    await stream.aclose()


async def test_a_sources_error_reaches_the_consumer_and_the_trail(
    manager: SessionManager, repository: SessionRepository
) -> None:
    error = ConnectionError("the model went away")
    source = Source("one", then=fail_with(error))
    stream = manager.stream("s", A, source)
    assert await anext(stream) == "one"
    with pytest.raises(ConnectionError) as raised:
        await anext(stream)
    assert raised.value is error
    assert stream.outcome == "failed"
    assert source.is_closed
    await ended_as(repository, "failed")
    [finished] = await events(repository, "stream_finished")
    assert finished.detail == "ConnectionError: the model went away"


async def test_an_error_that_no_database_could_store_is_still_recorded(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source(then=fail_with(ValueError("\0\ud800" + "x" * 9_999))))
    with pytest.raises(ValueError, match="xxx"):
        await anext(stream)
    [finished] = await events(repository, "stream_finished")
    assert finished.detail is not None
    assert len(finished.detail) <= 2_000


async def test_a_consumer_that_closes_the_stream_abandons_it(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two")
    stream = manager.stream("s", A, source)
    await anext(stream)
    await stream.aclose()
    assert source.is_closed
    assert stream.outcome == "abandoned"
    await ended_as(repository, "abandoned")


async def test_a_consumer_that_breaks_off_abandons_the_stream(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two", then=hang)
    async for item in manager.stream("s", A, source):
        if item == "two":
            break
    await ended_as(repository, "abandoned")
    assert source.is_closed


async def test_a_stream_that_is_dropped_is_abandoned(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two")
    stream = manager.stream("s", A, source)
    await anext(stream)
    del stream
    gc.collect()
    await ended_as(repository, "abandoned")
    assert source.is_closed


async def test_a_consumer_that_is_cancelled_abandons_the_stream(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", then=hang)
    stream = manager.stream("s", A, source)

    async def consume() -> list[str]:
        return [item async for item in stream]

    consumer = asyncio.create_task(consume())
    await source.is_at_end.wait()
    consumer.cancel()
    await asyncio.wait({consumer})
    assert consumer.cancelled()
    assert source.is_closed
    assert stream.outcome == "abandoned"
    assert await repository.list_streams("s") == []
    await ended_as(repository, "abandoned")


async def test_a_consumer_that_runs_out_of_time_abandons_the_stream(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source(then=hang))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(stream)
    await ended_as(repository, "abandoned")


@pytest.mark.parametrize("requester", ["this manager", "another manager"])
@pytest.mark.parametrize("then", [hang, ignore_one_cancellation])
async def test_an_interrupt_ends_the_stream_though_its_source_hangs(
    managers: Managers, repository: SessionRepository, requester: str, then: object
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    source = Source("one", then=then)  # type: ignore[arg-type]
    stream = manager.stream("s", A, source)
    assert await anext(stream) == "one"
    consumer = asyncio.create_task(anext(stream, "end"))
    await source.is_at_end.wait()
    interrupting = manager if requester == "this manager" else managers()
    assert await interrupting.interrupt_streaming_agents("s") == [A]
    assert await consumer == "end"
    assert stream.outcome == "interrupted"
    await eventually(lambda: events(repository, "signal_settled"))
    assert await settlements(repository) == {"writer/a": ("delivered", None)}
    assert source.is_closed
    assert runtime.asked == runtime.removed == []
    await ended_as(repository, "interrupted")


async def test_an_interrupt_ends_the_stream_while_its_consumer_is_busy_elsewhere(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("one", "two", "three")
    stream = manager.stream("s", A, source)
    assert await anext(stream) == "one"
    await manager.interrupt_streaming_agents("s")
    assert source.is_closed
    assert [item async for item in stream] == []
    assert stream.outcome == "interrupted"
    await ended_as(repository, "interrupted")


async def test_at_the_end_of_a_session_the_runtime_only_removes_the_agent(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime, given = Runtime(), ForeignId("writer", "a")
    manager = managers(runtime)
    stream = manager.stream("s", given, Source("one", then=hang))
    await anext(stream)
    await manager.end_session("s")
    assert [item async for item in stream] == []
    assert runtime.asked == []
    assert [removed is given for removed in runtime.removed] == [True]
    await ended_as(repository, "session_ended")


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_stream_supersedes_an_older_one_of_its_agent(
    managers: Managers, repository: SessionRepository, elsewhere: bool
) -> None:
    manager = managers()
    source = Source("old", then=hang)
    old = manager.stream("s", A, source)
    assert await anext(old) == "old"
    consumer = asyncio.create_task(anext(old, "end"))
    await source.is_at_end.wait()
    new = (managers() if elsewhere else manager).stream("s", A, Source("new", then=hang))
    assert await anext(new) == "new"
    assert await consumer == "end"
    await eventually(lambda: events(repository, "signal_settled"))
    assert source.is_closed
    [row] = await repository.list_streams("s")
    assert row.stream_id == new.stream_id
    [finished] = await events(repository, "stream_finished")
    assert (finished.stream_id, finished.outcome) == (old.stream_id, "superseded")
    assert await settlements(repository) == {"writer/a": ("delivered", None)}
    await new.aclose()


async def test_a_stream_that_was_unmarked_elsewhere_ends_once_in_the_trail(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(), managers()
    stream = manager.stream("s", A, Source("one", "two"))
    await anext(stream)
    await other.unmark_agent_streaming("s", A, stream.stream_id)
    assert [item async for item in stream] == ["two"]
    assert len(await events(repository, "stream_finished")) == 1
    await ended_as(repository, "completed")


async def test_an_ended_stream_gives_nothing_more_however_often_it_is_asked(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream = manager.stream("s", A, Source(then=fail_with(OSError())))
    with pytest.raises(OSError):  # noqa: PT011 - the class is all there is
        await anext(stream)
    for _ in range(3):
        assert [item async for item in stream] == []
        await stream.aclose()
    assert stream.outcome == "failed"
    assert len(await events(repository)) == 3


async def test_a_stream_that_is_closed_before_it_began_leaves_no_trace(
    manager: SessionManager, repository: SessionRepository
) -> None:
    source = Source("never")
    stream = manager.stream("s", A, source)
    await stream.aclose()
    assert [item async for item in stream] == []
    assert source.produced == 0
    assert await story(repository) == []


async def test_a_stream_has_one_consumer(manager: SessionManager) -> None:
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    stream = manager.stream("s", A, Source(then=wait))
    first = asyncio.create_task(anext(stream, "end"))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one consumer"):
        await anext(stream)
    go.set()
    assert await first == "end"
    assert stream.outcome == "completed"


async def test_bad_ids_are_refused_before_the_first_item(manager: SessionManager) -> None:
    with pytest.raises(InvalidSessionIdError):
        manager.stream("", A, Source())
    with pytest.raises(InvalidAgentIdError):
        manager.stream("s", ForeignId("bad type", "a"), Source())
