"""Requests that their callers named are done once, however often they are repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from session_router import (
    AgentId,
    RequestReusedError,
    RequestUnderWayError,
    SessionManager,
    SessionOwnedError,
    SessionRepository,
    StreamStoppedError,
)
from session_router.repository.results import Found
from tests.contract.conftest import Managers
from tests.support.trail import events, story

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def changes(repository: SessionRepository) -> list[str]:
    """The trail without receipts, which come when they come."""
    return [line for line in await story(repository) if not line.startswith("signal_settled")]


async def test_a_repeated_start_does_not_replace_what_it_began(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    await manager.start_new_session("s")
    first = await manager.start_new_session("s", actor="ann", request_id=name)
    await manager.register_agent("s", A)
    before = await story(repository)

    again = await manager.start_new_session("s", actor="ann", request_id=str(name))

    assert again.start_time == first.start_time
    assert again.agents_streaming == {A}
    assert await story(repository) == before
    [replaced] = await events(repository, "session_replaced")
    assert (replaced.request_id, replaced.actor) == (name, "ann")
    _, started = await events(repository, "session_started")
    assert started.request_id == name


async def test_a_repeated_start_tells_of_a_session_that_has_ended_since(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    first = await manager.start_new_session("s", request_id=name)
    await manager.end_session("s")
    again = await manager.start_new_session("s", request_id=name)
    assert again == first
    assert await repository.find_session("s") is None
    await manager.start_session("s")
    assert await manager.start_new_session("s", request_id=name) == first


async def test_a_repeated_interrupt_stops_nothing_that_has_begun_since(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    for agent in (B, A):
        await manager.register_agent("s", agent)
    first = await manager.request_interrupt("s", [A, B], reason="r", request_id=name)
    stream_id = await manager.register_agent("s", A)
    before = await story(repository)

    again = await manager.request_interrupt("s", [B, A], reason="r", wait=5, request_id=name)

    assert first is not None
    assert again is not None
    assert first.request_id == again.request_id == name
    assert again.streams == first.streams
    assert again.outcomes == dict.fromkeys([A, B], "failed")
    assert await story(repository) == before
    assert [s.stream_id for s in await repository.list_streams("s")] == [stream_id]
    assert await manager.interrupt_streaming_agents("s", [A, B], reason="r", request_id=name) == [
        A,
        B,
    ]


async def test_an_interrupt_that_found_no_session_can_be_asked_for_again(
    manager: SessionManager,
) -> None:
    name = uuid4()
    assert await manager.request_interrupt("s", request_id=name) is None
    await manager.register_agent("s", A)
    assert await manager.interrupt_streaming_agents("s", request_id=name) == [A]


async def test_a_repeated_stop_of_a_stream_finds_what_the_first_found(
    manager: SessionManager, repository: SessionRepository
) -> None:
    live = await manager.register_agent("s", A)
    over = await manager.register_agent("s", B)
    await manager.unmark_agent_streaming("s", B, over)
    ahead = uuid4()
    names = {stream_id: uuid4() for stream_id in (live, over, ahead)}
    first = {
        stream_id: await manager.interrupt_stream("s", stream_id, request_id=name)
        for stream_id, name in names.items()
    }
    assert [str(stop.found) for stop in first.values()] == ["live", "over", "ahead"]
    for _ in range(2):
        before = await story(repository)
        for stream_id, name in names.items():
            again = await manager.interrupt_stream("s", stream_id, request_id=name)
            told = first[stream_id]
            assert (again.found, again.request_id) == (told.found, told.request_id)
            assert again.agent_id == told.agent_id
        assert await story(repository) == before
        # And once more, when the one that was stopped ahead has come.
        if before[-1] != "signal_settled delivered writer/a":
            with pytest.raises(StreamStoppedError):
                await manager.register_agent("s", A, stream_id=ahead)


async def test_a_repeated_interrupt_of_all_counts_what_the_first_stopped(
    manager: SessionManager, repository: SessionRepository
) -> None:
    name = uuid4()
    for session_id in ("s", "t"):
        await manager.register_agent(session_id, A)
    await manager.register_agent("s", B)
    first = await manager.interrupt_all(agent_type="writer", request_id=name)
    assert (first.request_id, first.sessions, first.streams) == (name, 2, 3)
    await manager.register_agent("u", A)
    before = await changes(repository)
    assert await manager.interrupt_all(agent_type="writer", request_id=name) == first
    assert await changes(repository) == before


async def test_an_interrupt_of_all_that_found_nothing_is_done_as_well(
    manager: SessionManager,
) -> None:
    name = uuid4()
    assert (await manager.interrupt_all(request_id=name)).streams == 0
    await manager.register_agent("s", A)
    assert (await manager.interrupt_all(request_id=name)).streams == 0
    assert (await manager.interrupt_all(dry_run=True, request_id=name)).streams == 1


async def test_an_interrupt_of_all_that_was_left_halfway_is_gone_on_with(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between two of its batches, whoever repeats it."""
    name = uuid4()
    for session_id in ("s", "t"):
        await manager.register_agent(session_id, A)

    def crashes(_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("session_router.interrupts._BULK_BATCH", 1)
    with pytest.raises(ConnectionError):
        await manager.interrupt_all(progress=crashes, request_id=name)
    with pytest.raises(RequestUnderWayError, match=f"request {name} is under way"):
        await manager.interrupt_all(request_id=name)
    shortly = timedelta(0)
    for place in ("sql.requests", "memory_requests"):
        monkeypatch.setattr(f"session_router.repository.{place}.REQUEST_LEASE", shortly)
    await manager.repository.advance_request(name, is_over=False)
    done = await manager.interrupt_all(request_id=name)
    assert (done.sessions, done.streams) == (2, 2)


Ask = Callable[[SessionManager, UUID], Awaitable[Any]]
STREAM = uuid4()
ASKED: dict[str, Ask] = {
    "start": lambda m, name: m.start_new_session("s", request_id=name),
    "another start": lambda m, name: m.start_new_session("t", request_id=name),
    "a start by another": lambda m, name: m.start_new_session("s", actor="b", request_id=name),
    "a start for an owner": lambda m, name: m.start_new_session("s", owner="a", request_id=name),
    "a start for a time": lambda m, name: m.start_new_session(
        "s", timeout_minutes=7, request_id=name
    ),
    "interrupt": lambda m, name: m.request_interrupt("s", request_id=name),
    "for an owner": lambda m, name: m.request_interrupt("s", owner="a", request_id=name),
    "of another session": lambda m, name: m.request_interrupt("t", request_id=name),
    "of an agent": lambda m, name: m.request_interrupt("s", [A], request_id=name),
    "of none": lambda m, name: m.request_interrupt("s", [], request_id=name),
    "for a reason": lambda m, name: m.request_interrupt("s", reason="r", request_id=name),
    "by somebody": lambda m, name: m.request_interrupt("s", actor="r", request_id=name),
    "of a stream": lambda m, name: m.interrupt_stream("s", STREAM, request_id=name),
    "of another stream": lambda m, name: m.interrupt_stream("s", uuid4(), request_id=name),
    "of a stream for an owner": lambda m, name: m.interrupt_stream(
        "s", STREAM, owner="a", request_id=name
    ),
    "of all": lambda m, name: m.interrupt_all(request_id=name),
    "of all of an owner": lambda m, name: m.interrupt_all(owner="a", request_id=name),
    "of all of a type": lambda m, name: m.interrupt_all(agent_type="w", request_id=name),
    "of all of a worker": lambda m, name: m.interrupt_all(worker_id=uuid4(), request_id=name),
    "of all old": lambda m, name: m.interrupt_all(older_than=timedelta(seconds=1), request_id=name),
}


@pytest.mark.parametrize("first", ["start", "interrupt", "of a stream", "of all"])
async def test_a_name_is_not_taken_for_another_request(
    manager: SessionManager, repository: SessionRepository, first: str
) -> None:
    name = uuid4()
    for session_id in ("s", "t"):
        await manager.register_agent(session_id, A)
    await ASKED[first](manager, name)
    before = await changes(repository)
    for what, ask in ASKED.items():
        if what != first:
            with pytest.raises(RequestReusedError, match=f"request {name} was made before"):
                await ask(manager, name)
    assert await changes(repository) == before


async def test_what_another_owner_may_not_do_is_not_done_under_a_name(
    manager: SessionManager, repository: SessionRepository
) -> None:
    start, stop, one = uuid4(), uuid4(), uuid4()
    stream_id = await manager.register_agent("s", A, owner="acme")
    before = await story(repository)
    for _ in range(2):
        with pytest.raises(SessionOwnedError):
            await manager.start_new_session("s", owner="other", request_id=start)
        with pytest.raises(SessionOwnedError):
            await manager.interrupt_stream("s", stream_id, owner="other", request_id=one)
        assert await manager.request_interrupt("s", owner="other", request_id=stop) is None
    assert await story(repository) == before
    await manager.end_session("s")
    # Since nothing was done, it may be asked for again.
    begun = await manager.start_new_session("s", owner="other", request_id=start)
    assert begun.owner == "other"
    await manager.register_agent("s", B, owner="other")
    stopped = await manager.interrupt_streaming_agents("s", owner="other", request_id=stop)
    assert stopped == [B]
    for _ in range(2):
        over = await manager.interrupt_stream("s", stream_id, owner="other", request_id=one)
        assert (over.found, over.agent_id) == (Found.OVER, None)
    for_anybody = await manager.interrupt_stream("s", stream_id, request_id=uuid4())
    assert (for_anybody.found, for_anybody.agent_id) == (Found.OVER, A)


async def test_a_repetition_tells_nothing_of_the_next_owners_session(
    manager: SessionManager, repository: SessionRepository
) -> None:
    asked: list[Callable[..., Awaitable[Any]]] = [
        partial(manager.start_new_session, "s", owner="acme", timeout_minutes=7),
        partial(manager.request_interrupt, "s", owner="acme"),
        partial(manager.interrupt_all, owner="acme"),
    ]
    names = [uuid4() for _ in asked]
    first = []
    for ask, name in zip(asked, names, strict=True):
        first.append(await ask(request_id=name))
        await manager.register_agent("s", A, owner="acme")
    await manager.end_session("s", owner="acme")
    await manager.register_agent("s", B, owner="other")
    before = await changes(repository)
    again = [await ask(request_id=name) for ask, name in zip(asked, names, strict=True)]
    assert again[0] == first[0]
    assert (again[0].owner, again[0].timeout_minutes) == ("acme", 7)
    assert (again[1].agents, again[2]) == ([A], first[2])
    assert await changes(repository) == before


async def test_a_name_that_another_owners_request_had_tells_nothing_of_it(
    manager: SessionManager, repository: SessionRepository
) -> None:
    """Nobody is kept from giving a name that a request without one was given by us."""
    await manager.register_agent("s", A, owner="acme")
    theirs = await manager.request_interrupt("s", owner="acme")
    assert theirs is not None
    await manager.end_session("s", owner="acme")
    await manager.register_agent("s", B, owner="other")
    for _ in range(2):
        stop = await manager.request_interrupt("s", owner="other", request_id=theirs.request_id)
        assert stop is not None
        assert stop.agents == [B]
    await manager.register_agent("t", A, owner="acme")
    theirs_of_all = await manager.interrupt_all(owner="acme")
    for _ in range(2):
        done = await manager.interrupt_all(owner="other", request_id=theirs_of_all.request_id)
        assert (done.sessions, done.streams) == (0, 0)


async def test_of_many_of_one_name_at_once_one_is_carried_out(
    managers: Managers, repository: SessionRepository
) -> None:
    name, two = uuid4(), [managers(), managers()]
    await two[0].register_agent("s", A)
    asked = [two[n % 2].request_interrupt("s", request_id=name) for n in range(20)]
    others = [two[0].request_interrupt("s", reason=str(n)) for n in range(5)]
    done = await asyncio.gather(*asked, *others, return_exceptions=True)
    for one in done:
        assert not isinstance(one, BaseException) or isinstance(one, RequestUnderWayError)
    named = [e for e in await events(repository, "interrupt_requested") if e.request_id == name]
    assert len(named) == 1
