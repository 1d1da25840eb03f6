"""`stream()`: its handle and the trail say the same, and no failure keeps it on the list."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import pytest

from session_router import AgentId, DeadlineExceededError, SessionManager
from session_router.repository.records import Requester
from session_router.settings import Tuning
from session_router.worker.stream import AgentStream
from tests.support.laws import violations
from tests.support.repositories import HostsRepository
from tests.support.sources import Source, end, fail_with, hang
from tests.support.trail import events, story
from tests.support.waiting import Gate, eventually

A = AgentId("writer", "a")
ELSEWHERE = Requester()


@pytest.fixture
async def repository() -> AsyncIterator[HostsRepository]:
    made = HostsRepository()
    yield made
    assert await violations(made) == []


@pytest.fixture
async def manager(repository: HostsRepository) -> AsyncIterator[SessionManager]:
    async with SessionManager(repository, tuning=Tuning(poll_interval_sec=3_600)) as made:
        yield made


def raises(*errors: Exception) -> "Failures":
    return Failures(list(errors))


class Failures:
    """Raises one error after the other, and then none."""

    def __init__(self, errors: list[Exception]) -> None:
        self._errors = errors

    async def __call__(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


async def ended_in_trail(repository: HostsRepository) -> list[str]:
    return [str(event.outcome) for event in await events(repository, "stream_finished")]


@pytest.mark.parametrize("then", [end, fail_with(OSError("no model")), hang])
async def test_an_interrupt_that_takes_the_row_first_is_on_the_handle_too(
    manager: SessionManager, repository: HostsRepository, then: object
) -> None:
    gate = Gate()
    repository.before_finishing = gate
    source = Source("one", then=then)  # type: ignore[arg-type]
    stream = manager.stream("s", A, source)
    await anext(stream)
    leaving = stream.aclose() if then is hang else anext(stream, "end")
    consumer = asyncio.ensure_future(leaving)
    await gate.is_reached.wait()
    await repository.interrupt_streams("s", None, ELSEWHERE)
    assert not consumer.done()  # what it would be told is not certain yet
    gate.open()
    await asyncio.wait({consumer})
    assert isinstance(consumer.exception(), OSError) == (then not in (end, hang))
    assert stream.outcome == "interrupted"
    assert await ended_in_trail(repository) == ["interrupted"]
    await manager._worker.dispatcher.run_once()
    assert (await story(repository))[-1] == "signal_settled delivered writer/a"


@pytest.mark.parametrize("order", ["interrupt", "shutdown"])
async def test_a_stop_that_comes_after_the_end_was_written_changes_nothing(
    manager: SessionManager, repository: HostsRepository, order: str
) -> None:
    gate = Gate()
    repository.after_finishing = gate
    stream = manager.stream("s", A, Source("one"))
    await anext(stream)
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await gate.is_reached.wait()
    if order == "interrupt":
        assert await manager.interrupt_streaming_agents("s") == []
        gate.open()
    else:
        stopping = asyncio.create_task(manager.shutdown())
        await asyncio.sleep(0)
        gate.open()
        await stopping
    assert await consumer == "end"
    assert stream.outcome == "completed"
    assert await ended_in_trail(repository) == ["completed"]


async def test_a_shutdown_that_takes_the_row_first_is_on_the_handle_too(
    manager: SessionManager, repository: HostsRepository
) -> None:
    gate = Gate()
    repository.before_finishing = gate
    stream = manager.stream("s", A, Source("one"))
    await anext(stream)
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await gate.is_reached.wait()
    await manager.shutdown()
    gate.open()
    assert await consumer == "end"
    assert stream.outcome == "interrupted"
    assert await ended_in_trail(repository) == ["worker_stopped"]


async def test_a_stop_that_comes_before_the_answer_of_the_registration_is_delivered(
    manager: SessionManager, repository: HostsRepository
) -> None:
    gate = Gate()
    repository.after_registering = gate
    source = Source("never")
    stream = manager.stream("s", A, source)
    consumer = asyncio.ensure_future(anext(stream, "end"))
    await gate.is_reached.wait()
    assert await manager.interrupt_streaming_agents("s", wait=10) == {A: "delivered"}
    assert await consumer == "end"
    gate.open()
    await stream.aclose()
    assert (source.produced, stream.outcome) == (0, "interrupted")
    assert await ended_in_trail(repository) == ["interrupted"]


async def test_a_stream_that_is_lost_with_its_worker_was_interrupted(
    manager: SessionManager, repository: HostsRepository
) -> None:
    stream = manager.stream("s", A, Source("one", then=hang))
    await anext(stream)
    await repository.reap_workers(await repository.heartbeats())
    await manager.register_agent("t", A)  # finds out, and goes on as another
    assert [item async for item in stream] == []
    assert stream.outcome == "interrupted"
    assert await ended_in_trail(repository) == ["worker_lost"]


async def test_a_stream_that_was_unmarked_has_completed_whatever_came_of_it(
    manager: SessionManager, repository: HostsRepository
) -> None:
    stream = manager.stream("s", A, Source("one", then=fail_with(OSError())))
    await anext(stream)
    await manager.unmark_agent_streaming("s", A)
    with pytest.raises(OSError):  # noqa: PT011 - the class is all there is
        await anext(stream)
    assert stream.outcome == "completed"
    assert await ended_in_trail(repository) == ["completed"]


async def test_an_end_whose_writing_had_no_answer_is_looked_up(
    manager: SessionManager, repository: HostsRepository
) -> None:
    repository.after_finishing = raises(DeadlineExceededError.of(10))
    stream = manager.stream("s", A, Source("one"))
    assert [item async for item in stream] == ["one"]
    await eventually(lambda: repository.finishes == 2)
    await stream.aclose()
    assert stream.outcome == "completed"
    assert await ended_in_trail(repository) == ["completed"]


async def test_unregistering_outlives_any_error(
    manager: SessionManager, repository: HostsRepository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="session_router")
    repository.before_finishing = raises(ZeroDivisionError("a bug"), LookupError("another"))
    stream = manager.stream("s", A, Source("one"))
    assert [item async for item in stream] == ["one"]  # which waits for one try only
    await eventually(lambda: ended_in_trail(repository))
    assert await ended_in_trail(repository) == ["completed"]
    assert stream.outcome == "completed"
    assert caplog.text.count("Traceback") == 2


@pytest.mark.parametrize("following", ["stream", "register_agent"])
async def test_the_next_turn_waits_for_the_row_of_the_last_one(
    manager: SessionManager, repository: HostsRepository, following: str
) -> None:
    gate = Gate()
    repository.before_finishing = gate
    async for _ in manager.stream("s", A, Source("one", then=hang)):
        break
    gc.collect()
    next_turn: AgentStream[str] = manager.stream("s", A, Source("two"))
    if following == "stream":
        began: asyncio.Future[object] = asyncio.ensure_future(anext(next_turn))
    else:
        began = asyncio.ensure_future(manager.register_agent("s", A))
    await gate.is_reached.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not began.done()
    gate.open()
    await began
    assert await ended_in_trail(repository) == ["abandoned"]
    assert len(await repository.list_streams("s")) == 1
    await next_turn.aclose()


async def test_a_row_that_could_not_be_removed_is_not_given_to_who_registers_next(
    manager: SessionManager, repository: HostsRepository
) -> None:
    repository.before_finishing = raises(OSError("away"))
    async for _ in manager.stream("s", A, Source("one", then=hang)):
        break
    gc.collect()
    await eventually(lambda: repository.finishes)
    registered = await manager.register_agent("s", A)
    await eventually(lambda: repository.finishes == 2)
    [row] = await repository.list_streams("s")
    assert row.stream_id == registered


async def test_an_error_that_comes_while_the_consumer_is_busy_is_raised_when_it_asks(
    manager: SessionManager, repository: HostsRepository
) -> None:
    async def limited() -> AsyncIterator[str]:
        async with asyncio.timeout(0.01):
            yield "word"
            await hang()

    stream = manager.stream("s", A, limited())
    assert await anext(stream) == "word"
    await eventually(lambda: ended_in_trail(repository))
    with pytest.raises(TimeoutError):
        await anext(stream)
    assert await anext(stream, "end") == "end"
    assert stream.outcome == "failed"
