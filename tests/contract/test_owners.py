"""Owners: whose a session is, and who may do what with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from session_router import (
    AgentId,
    InvalidValueError,
    SessionManager,
    SessionOwnedError,
    SessionRepository,
    StreamStoppedError,
)
from session_router.events import EventName
from session_router.repository.changes import SessionFilter
from session_router.repository.results import Found
from tests.contract.conftest import Managers
from tests.support.trail import events, story

WRITER = AgentId("writer", "alice")


@pytest.fixture
def manager(managers: Managers) -> SessionManager:
    # Each touch is written, so that one that must not be is seen.
    return managers(touch_resolution_sec=0)


async def test_an_owner_is_of_a_session_from_its_start_and_of_its_first_event(
    manager: SessionManager, repository: SessionRepository
) -> None:
    started = await manager.start_session("s", owner="acme")
    assert started.owner == "acme"
    for found in (
        await manager.start_session("s", owner="acme"),
        await manager.start_session("s"),
        await manager.get_session("s"),
        await repository.find_session("s"),
        (await repository.list_sessions())[0],
    ):
        assert found is not None
        assert found.owner == "acme"
    assert [event.detail for event in await events(repository, "session_started")] == ["acme"]


async def test_another_owners_start_is_refused_and_writes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    began = await manager.start_session("acmes", owner="acme")
    nobodys = await manager.start_session("nobody's")
    for session_id in ("acmes", "nobody's"):
        for change in (
            manager.start_session(session_id, owner="other"),
            manager.start_new_session(session_id, owner="other"),
            manager.register_agent(session_id, WRITER, owner="other"),
            manager.stream(session_id, WRITER, _items(), owner="other").start(),
        ):
            with pytest.raises(SessionOwnedError, match=r"another owner's; use another id"):
                await change
    assert await repository.find_session("acmes") == began
    assert await repository.find_session("nobody's") == nobodys
    assert [event.event for event in await events(repository)] == ["session_started"] * 2


async def test_for_another_owner_a_session_does_not_live(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s", owner="acme")
    stream_id = await manager.register_agent("s", WRITER, owner="acme")
    began = await repository.find_session("s")
    assert await manager.get_session("s", owner="other") is None
    assert not await manager.end_session("s", owner="other")
    assert await manager.interrupt_streaming_agents("s", owner="other") == []
    with pytest.raises(SessionOwnedError):
        await manager.interrupt_stream("s", stream_id, owner="other")
    await manager.unmark_agent_streaming("s", WRITER, stream_id, owner="other")
    done = await manager.interrupt_all(owner="other")
    assert (done.sessions, done.streams) == (0, 0)
    assert await repository.list_streams("s", "other") == []
    assert await repository.list_events("s", owner="other") == []
    assert await repository.find_session("s") == began
    names = [event.event for event in await events(repository)]
    assert names == [EventName.SESSION_STARTED, EventName.STREAM_STARTED]


async def test_its_owner_does_with_a_session_what_anybody_does(
    manager: SessionManager, repository: SessionRepository
) -> None:
    stream_id = await manager.register_agent("s", WRITER, owner="acme")
    assert (await manager.start_session("s")).owner == "acme"
    assert [s.stream_id for s in await repository.list_streams("s", "acme")] == [stream_id]
    await manager.unmark_agent_streaming("s", WRITER, stream_id, owner="acme")
    named = await manager.register_agent("s", WRITER, owner="acme")
    assert (await manager.interrupt_stream("s", named, owner="acme")).found is Found.LIVE
    await manager.register_agent("s", WRITER, owner="acme")
    assert await manager.interrupt_streaming_agents("s", owner="acme") == [WRITER]
    assert await manager.get_session("s", owner="acme") is not None
    assert await manager.end_session("s", owner="acme")
    assert len(await repository.list_events("s", owner="acme")) == len(await events(repository))


async def test_the_next_life_of_an_id_may_be_another_owners(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s", owner="acme")
    assert (await manager.start_new_session("s", owner="acme")).owner == "acme"
    await manager.end_session("s", owner="acme")
    assert (await manager.start_new_session("s", owner="other")).owner == "other"
    # Who starts it anew without an owner makes it nobody's.
    assert (await manager.start_new_session("s")).owner is None
    of_acme = await repository.list_events("s", owner="acme")
    assert [event.event for event in of_acme] == [
        EventName.SESSION_STARTED,
        EventName.SESSION_REPLACED,
        EventName.SESSION_STARTED,
        EventName.SESSION_ENDED,
    ]
    assert len(await repository.list_events("s", owner="other")) == 2


async def test_lists_and_stops_of_many_are_of_one_owner(
    manager: SessionManager, repository: SessionRepository
) -> None:
    for number in range(6):
        owner = ("acme", "other", None)[number % 3]
        await manager.register_agent(f"s{number}", WRITER, owner=owner)
    found = await repository.list_sessions(matching=SessionFilter(owner="acme"), limit=1)
    found += await repository.list_sessions(matching=SessionFilter(owner="acme"), after="s0")
    assert [session.session_id for session in found] == ["s0", "s3"]
    counted = await manager.interrupt_all(owner="acme", dry_run=True)
    done = await manager.interrupt_all(owner="acme", older_than=timedelta(microseconds=1))
    assert (counted.sessions, counted.streams) == (done.sessions, done.streams) == (2, 2)
    receipts = await manager.receipts(done.request_id, owner="acme")
    assert receipts is not None
    assert await manager.receipts(done.request_id, owner="other") is None
    left = await repository.list_sessions(matching=SessionFilter(streaming=True))
    assert [session.session_id for session in left] == ["s1", "s2", "s4", "s5"]


async def test_many_owners_at_once_each_get_their_own(
    manager: SessionManager, repository: SessionRepository
) -> None:
    """In one batch: the same id for two owners, and for nobody in particular."""
    owners = [None, "acme", "other", "acme", None, "other"] * 4
    started = await asyncio.gather(
        *(manager.start_session(f"s{n % 8}", owner=owner) for n, owner in enumerate(owners)),
        return_exceptions=True,
    )
    whose = {s.session_id: s.owner for s in await repository.list_sessions()}
    for number, (owner, result) in enumerate(zip(owners, started, strict=True)):
        is_its = owner in (None, whose[f"s{number % 8}"])
        assert isinstance(result, SessionOwnedError) != is_its
    touched = await asyncio.gather(
        *(manager.get_session(f"s{n % 8}", owner=owner) for n, owner in enumerate(owners))
    )
    registered = await asyncio.gather(
        *(
            manager.register_agent(f"s{n % 8}", AgentId("w", str(n)), owner=owner)
            for n, owner in enumerate(owners)
        ),
        return_exceptions=True,
    )
    for number, owner in enumerate(owners):
        is_its = owner in (None, whose[f"s{number % 8}"])
        assert (touched[number] is not None) == is_its
        assert isinstance(registered[number], SessionOwnedError) != is_its


async def test_a_stop_before_its_stream_hits_no_other_owners(
    manager: SessionManager, repository: SessionRepository
) -> None:
    """Who knows the name of a stream does not stop it by that, nor hold up its owner's stop."""
    name, own = uuid4(), uuid4()
    others = await manager.interrupt_stream("s", name, owner="other", actor="mallory")
    assert others.found is Found.AHEAD
    assert await manager.register_agent("s", WRITER, stream_id=name, owner="acme") == name
    assert (await manager.interrupt_stream("s", name, owner="acme")).found is Found.LIVE

    theirs = await manager.interrupt_stream("t", own, owner="other", actor="mallory")
    acmes = await manager.interrupt_stream("t", own, owner="acme", actor="ann")
    again = await manager.interrupt_stream("t", own, owner="acme", actor="ben")
    assert theirs.request_id != acmes.request_id == again.request_id
    with pytest.raises(StreamStoppedError):
        await manager.register_agent("t", WRITER, stream_id=own, owner="acme")
    [asked] = await events(repository, "interrupt_requested", "t")
    assert asked.actor == "ann"


async def test_a_stop_before_its_stream_on_nobodys_behalf_hits_it_whoever_owns_it(
    manager: SessionManager,
) -> None:
    for owner in ("acme", None):
        name = uuid4()
        await manager.interrupt_stream(f"of {owner}", name)
        with pytest.raises(StreamStoppedError):
            await manager.register_agent(f"of {owner}", WRITER, stream_id=name, owner=owner)
    name = uuid4()
    await manager.start_session("live", owner="acme")
    await manager.interrupt_stream("live", name, owner="acme")
    with pytest.raises(StreamStoppedError):  # it is acme's, though who registers does not say so
        await manager.register_agent("live", WRITER, stream_id=name)


@pytest.mark.parametrize("owner", ["", "x" * 256, "nul\0", "\ud800", 7])
async def test_an_owner_that_cannot_be_stored_is_refused(
    manager: SessionManager, repository: SessionRepository, owner: str
) -> None:
    for change in (
        manager.start_session("s", owner=owner),
        manager.get_session("s", owner=owner),
        manager.end_session("s", owner=owner),
        manager.interrupt_all(owner=owner),
    ):
        with pytest.raises(InvalidValueError, match="owner"):
            await change
    assert await story(repository) == []


async def _items() -> AsyncIterator[int]:
    yield 1
