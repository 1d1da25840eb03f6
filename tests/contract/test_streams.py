"""Streams: registered once, taken over, and ended exactly as they are named."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest

from session_router import AgentId, InvalidValueError, SessionManager, SessionRepository
from session_router.errors import WorkerGoneError
from session_router.events import StreamOutcome
from session_router.repository.changes import Register
from tests.contract.conftest import Managers
from tests.support.laws import contents
from tests.support.runtimes import ForeignId, Runtime
from tests.support.trail import events, settlements, story
from tests.support.waiting import eventually

WRITER = AgentId("writer", "a")
CRITIC = AgentId("critic", "a")


async def owners(repository: SessionRepository, session_id: str = "s") -> dict[AgentId, UUID]:
    return {row.agent_id: row.worker_id for row in await repository.list_streams(session_id)}


async def stream_ids(repository: SessionRepository, session_id: str = "s") -> set[UUID]:
    return {row.stream_id for row in await repository.list_streams(session_id)}


async def test_registering_starts_the_session_and_names_the_stream(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER)
    [row] = await repository.list_streams("s")
    assert (row.session_id, row.agent_id, row.stream_id) == ("s", WRITER, stream_id)
    assert row.worker_id == manager.worker_id
    assert await story(repository) == ["session_started", "stream_started writer/a"]


async def test_registering_again_in_the_same_worker_changes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    first = await manager.register_agent("s", WRITER)
    [row] = await repository.list_streams("s")
    assert await manager.register_agent("s", WRITER) == first
    assert await manager.register_agent("s", ForeignId("writer", "a")) == first
    assert await repository.list_streams("s") == [row]
    assert await story(repository) == ["session_started", "stream_started writer/a"]


async def test_many_registrations_of_one_agent_in_one_worker_open_one_stream(
    manager: SessionManager, repository: SessionRepository
) -> None:
    ids = await asyncio.gather(*(manager.register_agent("s", WRITER) for _ in range(10)))
    assert set(ids) == await stream_ids(repository)
    assert len(await events(repository, "stream_started")) == 1


async def test_streams_are_listed_in_key_order(
    manager: SessionManager, repository: SessionRepository
) -> None:
    for key in ("b", "é", "B", "a"):
        await manager.register_agent("s", AgentId("writer", key))
    await manager.register_agent("s", CRITIC)
    listed = [str(row.agent_id) for row in await repository.list_streams("s")]
    assert listed == ["critic/a", "writer/B", "writer/a", "writer/b", "writer/é"]


async def test_one_agent_may_stream_in_two_sessions(
    manager: SessionManager, repository: SessionRepository
) -> None:
    one = await manager.register_agent("s", WRITER)
    two = await manager.register_agent("t", WRITER)
    assert one != two
    await manager.unmark_agent_streaming("s", WRITER)
    assert await stream_ids(repository, "s") == set()
    assert await stream_ids(repository, "t") == {two}


async def test_another_worker_takes_a_stream_over(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    old, new = managers(runtime), managers()
    first = await old.register_agent("s", WRITER)
    second = await new.register_agent("s", WRITER)
    assert second != first
    assert await owners(repository) == {WRITER: new.worker_id}
    await eventually(lambda: events(repository, "signal_settled"))
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished superseded writer/a",
        "stream_started writer/a",
        "signal_settled delivered writer/a",
    ]
    [finished] = await events(repository, "stream_finished")
    assert (finished.stream_id, finished.worker_id) == (first, old.worker_id)
    assert runtime.cancels("a") == 1
    assert runtime.removed == []


async def test_a_stream_taken_over_and_back_ends_with_the_last_to_ask(
    managers: Managers, repository: SessionRepository
) -> None:
    one, other = managers(Runtime()), managers(Runtime())
    ids = [await worker.register_agent("s", WRITER) for worker in (one, other, one)]
    assert len(set(ids)) == 3
    assert await stream_ids(repository) == {ids[2]}
    assert await owners(repository) == {WRITER: one.worker_id}


async def test_when_two_workers_register_at_once_one_stream_is_left(
    managers: Managers, repository: SessionRepository
) -> None:
    workers = [managers(Runtime()) for _ in range(3)]
    ids = await asyncio.gather(
        *(worker.register_agent("s", WRITER) for _ in range(4) for worker in workers)
    )
    [left] = await stream_ids(repository)
    assert left in ids
    outcomes = Counter(event.outcome for event in await events(repository, "stream_finished"))
    assert outcomes == {StreamOutcome.SUPERSEDED: len(set(ids)) - 1}


async def test_a_stream_is_ended_by_its_id_from_any_manager(
    managers: Managers, repository: SessionRepository
) -> None:
    owner, other = managers(), managers()
    stream_id = await owner.register_agent("s", WRITER)
    await other.unmark_agent_streaming("s", WRITER, stream_id)
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished completed writer/a",
    ]
    [finished] = await events(repository, "stream_finished")
    assert (finished.stream_id, finished.worker_id) == (stream_id, owner.worker_id)


async def test_a_stream_id_may_be_given_as_text(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER)
    await manager.unmark_agent_streaming("s", WRITER, str(stream_id))
    assert await stream_ids(repository) == set()


async def test_a_stream_id_that_is_none_is_refused(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER)
    with pytest.raises(InvalidValueError, match="no-uuid"):
        await manager.unmark_agent_streaming("s", WRITER, "no-uuid")
    assert await stream_ids(repository) == {stream_id}


async def test_without_a_stream_id_the_workers_own_stream_ends(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", WRITER)
    kept = await manager.register_agent("s", CRITIC)
    await manager.unmark_agent_streaming("s", WRITER)
    assert await stream_ids(repository) == {kept}


async def test_without_a_stream_id_another_workers_stream_is_left_alone(
    managers: Managers, repository: SessionRepository
) -> None:
    owner, other = managers(), managers()
    stream_id = await owner.register_agent("s", WRITER)
    before = await contents(repository)
    await other.unmark_agent_streaming("s", WRITER)
    assert await contents(repository) == before
    assert await stream_ids(repository) == {stream_id}


async def test_an_older_streams_id_does_not_end_the_newer_one(
    managers: Managers, repository: SessionRepository
) -> None:
    old, new = managers(Runtime()), managers()
    first = await old.register_agent("s", WRITER)
    second = await new.register_agent("s", WRITER)
    await old.unmark_agent_streaming("s", WRITER, first)
    await old.unmark_agent_streaming("s", WRITER)
    assert await stream_ids(repository) == {second}


async def test_a_stream_id_of_another_agent_or_session_ends_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER)
    await manager.register_agent("t", WRITER)
    await manager.register_agent("s", CRITIC)
    before = await contents(repository)
    await manager.unmark_agent_streaming("s", CRITIC, stream_id)
    await manager.unmark_agent_streaming("t", WRITER, stream_id)
    await manager.unmark_agent_streaming("s", WRITER, uuid4())
    assert await contents(repository) == before


async def test_ending_a_stream_with_another_agents_id_leaves_it_stoppable(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    stream_id = await manager.register_agent("s", WRITER)
    await manager.unmark_agent_streaming("s", CRITIC, stream_id)
    assert await manager.interrupt_streaming_agents("s") == [WRITER]
    assert await settlements(repository) == {"writer/a": ("delivered", None)}
    assert runtime.cancels("a") == 1


async def test_ending_a_stream_twice_ends_it_once(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER)
    for named in (stream_id, stream_id, None):
        await manager.unmark_agent_streaming("s", WRITER, named)
    assert len(await events(repository, "stream_finished")) == 1


async def test_an_agent_that_ended_can_stream_again_under_a_new_id(
    manager: SessionManager, repository: SessionRepository
) -> None:
    first = await manager.register_agent("s", WRITER)
    await manager.unmark_agent_streaming("s", WRITER)
    second = await manager.register_agent("s", WRITER)
    assert first != second
    assert await stream_ids(repository) == {second}


async def test_ending_a_stream_neither_touches_nor_ends_its_session(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", WRITER)
    before = await repository.find_session("s")
    await manager.unmark_agent_streaming("s", WRITER)
    after = await repository.find_session("s")
    assert before is not None
    assert after is not None
    assert after.last_updated == before.last_updated


async def test_a_worker_that_has_not_entered_registers_nothing(
    repository: SessionRepository,
) -> None:
    before = await contents(repository)
    with pytest.raises(WorkerGoneError):
        await repository.register_stream(Register("s", WRITER, uuid4(), uuid4(), renew=False))
    assert await contents(repository) == before


async def test_a_worker_whose_row_is_gone_registers_as_a_new_one(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", CRITIC)
    gone = manager.worker_id
    await repository.remove_worker(gone)
    await manager.register_agent("s", WRITER)
    assert manager.worker_id != gone
    assert await owners(repository) == {WRITER: manager.worker_id}


async def test_how_a_stream_ended_can_be_read_back(
    manager: SessionManager, repository: SessionRepository
) -> None:
    first = await manager.register_agent("s", WRITER)
    second = await manager.register_agent("s", CRITIC)
    assert await repository.stream_outcome("s", first) is None
    await manager.unmark_agent_streaming("s", WRITER)
    await manager.interrupt_streaming_agents("s", wait=10)
    assert await repository.stream_outcome("s", first) == "completed"
    assert await repository.stream_outcome("s", second) == "interrupted"
    assert await repository.stream_outcome("s", uuid4()) is None
