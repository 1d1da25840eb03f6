"""Touches of one session shortly after each other: read, not written, and never at its cost."""

import asyncio
from datetime import UTC, datetime, timedelta

from session_router import AgentId, Session, SessionRepository
from tests.contract.conftest import Managers

WRITER = AgentId("writer", "a")


async def touched_before(repository: SessionRepository, **ago: float) -> datetime:
    """Save the session `s` with its last touch so long ago."""
    moment = datetime.now(UTC) - timedelta(**ago)
    await repository.save_session(Session(session_id="s", last_updated=moment))
    return moment


async def test_a_touch_within_the_resolution_of_the_last_one_only_reads(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(touch_resolution_sec=600)
    moment = await touched_before(repository, minutes=5)
    for touched in (await manager.get_session("s"), await manager.start_session("s")):
        assert touched is not None
        assert touched.last_updated == moment
    await manager.register_agent("s", WRITER)
    read = await manager.get_session("s")
    assert read is not None
    assert read.agents_streaming == {WRITER}  # what is read is never old


async def test_a_touch_after_the_resolution_writes(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(touch_resolution_sec=60)
    moment = await touched_before(repository, minutes=2)
    for touched in (await manager.get_session("s"), await manager.get_session("s")):
        assert touched is not None
        assert touched.last_updated > moment + timedelta(minutes=1)


async def test_a_session_whose_touches_were_not_written_lives_as_long_as_if_they_were(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(timeout_minutes=30, touch_resolution_sec=600)
    # Touched nine minutes after that, which was only read; now the timeout since then is not over.
    await touched_before(repository, minutes=38)
    assert (await manager.expire_old_sessions()).sessions == 0
    # Had it been touched ten minutes after, that would have been written.
    await touched_before(repository, minutes=41)
    assert (await manager.expire_old_sessions()).sessions == 1


async def test_callers_with_other_resolutions_at_once_each_get_what_they_asked_for(
    managers: Managers, repository: SessionRepository
) -> None:
    coarse, exact = managers(touch_resolution_sec=600), managers(touch_resolution_sec=0)
    moment = await touched_before(repository, minutes=5)
    read, written = await asyncio.gather(coarse.get_session("s"), exact.get_session("s"))
    assert read is not None
    assert written is not None
    assert written.last_updated > moment
    assert written.last_updated >= read.last_updated
