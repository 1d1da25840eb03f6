"""Lists of sessions, narrowed down, a page at a time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from session_router import AgentId, SessionRepository
from session_router.repository.changes import SessionFilter
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime

A, B = AgentId("writer", "a"), AgentId("critic", "a")
IDS = ["a", "a%", "ab", "a\u00ff", "b", "b\ud7ff", "b\ue000", "\U0010ffff", "\U0010ffffx"]


async def ids(repository: SessionRepository, matching: SessionFilter, limit: int = 2) -> list[str]:
    """The ids of all pages, which are in order and overlap nowhere."""
    found: list[str] = []
    while page := await repository.list_sessions(
        after=found[-1] if found else None, limit=limit, matching=matching
    ):
        found += [session.session_id for session in page]
    assert found == sorted(set(found))
    return found


@pytest.mark.parametrize("prefix", ["a", "a%", "b\ud7ff", "\U0010ffff", "c", "_", "aa"])
async def test_a_prefix_is_taken_as_it_is(
    managers: Managers, repository: SessionRepository, prefix: str
) -> None:
    manager = managers(Runtime())
    for session_id in IDS:
        await manager.start_session(session_id)
    wanted = sorted(i for i in IDS if i.startswith(prefix))
    assert await ids(repository, SessionFilter(prefix=prefix)) == wanted


async def test_sessions_are_found_by_who_streams_in_them(
    managers: Managers, repository: SessionRepository
) -> None:
    manager, other = managers(Runtime()), managers(Runtime())
    for session_id in ("s1", "s2", "s3", "s4", "x"):
        await manager.start_session(session_id)
    await manager.register_agent("s1", A)
    await manager.register_agent("s2", B)
    await other.register_agent("s3", A)
    await other.register_agent("s3", B)

    for matching, wanted in (
        (SessionFilter(), ["s1", "s2", "s3", "s4", "x"]),
        (SessionFilter(streaming=True), ["s1", "s2", "s3"]),
        (SessionFilter(streaming=False), ["s4", "x"]),
        (SessionFilter(agent_type="writer"), ["s1", "s3"]),
        (SessionFilter(worker_id=other.worker_id), ["s3"]),
        # Both hold of one stream.
        (SessionFilter(agent_type="critic", worker_id=manager.worker_id), ["s2"]),
        (SessionFilter(agent_type="critic", worker_id=other.worker_id), ["s3"]),
        (SessionFilter(streaming=False, agent_type="writer"), []),
        (SessionFilter(prefix="s", streaming=False), ["s4"]),
    ):
        assert await ids(repository, matching) == wanted, matching
    [session] = await repository.list_sessions(matching=SessionFilter(prefix="s3"))
    assert session.agents_streaming == {A, B}


async def test_idle_sessions_are_found(managers: Managers, repository: SessionRepository) -> None:
    manager = managers(Runtime())
    session = await manager.start_session("old")
    await manager.start_session("new")
    long_ago = session.last_updated - timedelta(minutes=5)
    await repository.save_session(session.model_copy(update={"last_updated": long_ago}))
    minute = SessionFilter(idle_for=timedelta(minutes=1))
    assert await ids(repository, minute) == ["old"]
    await asyncio.sleep(0.002)
    everything = replace(minute, idle_for=timedelta(microseconds=1))
    assert await ids(repository, everything) == ["new", "old"]
