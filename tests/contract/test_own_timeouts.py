"""Sessions with a timeout of their own: in the same sweep, each at its time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from session_router import (
    AgentId,
    InvalidValueError,
    RequestReusedError,
    Session,
    SessionManager,
    SessionRepository,
)
from session_router.repository.records import Requester
from tests.contract.conftest import Managers
from tests.support.trail import events
from tests.support.waiting import eventually

WRITER = AgentId("writer", "alice")


@pytest.fixture
def manager(managers: Managers) -> SessionManager:
    return managers(touch_resolution_sec=0)


async def test_a_session_keeps_the_timeout_that_it_starts_with(
    manager: SessionManager, repository: SessionRepository
) -> None:
    assert (await manager.start_session("s", timeout_minutes=0.5)).timeout_minutes == 0.5
    assert (await manager.start_session("s", timeout_minutes=7)).timeout_minutes == 0.5
    found = await manager.get_session("s")
    assert found is not None
    assert found.timeout_minutes == 0.5
    assert (await manager.start_new_session("s", timeout_minutes=7)).timeout_minutes == 7
    assert (await manager.start_new_session("s")).timeout_minutes is None


async def test_of_two_that_begin_anew_at_once_each_has_the_timeout_that_it_asked_for(
    manager: SessionManager, repository: SessionRepository
) -> None:
    """In one batch with one that goes alone, and is refused there."""
    used = uuid4()
    await manager.start_new_session("s", request_id=used)
    refused, begun = await asyncio.gather(
        manager.start_new_session("s", timeout_minutes=7, request_id=used),
        manager.start_new_session("s", timeout_minutes=8),
        return_exceptions=True,
    )
    assert isinstance(refused, RequestReusedError)
    assert isinstance(begun, Session)
    assert begun.timeout_minutes == 8
    found = await repository.find_session("s")
    assert found is not None
    assert found.timeout_minutes == 8


async def test_each_expires_at_its_own_time(
    manager: SessionManager, repository: SessionRepository
) -> None:
    now = datetime.now(UTC)
    for name, own, idle in (
        ("default, young", None, 29),
        ("default, old", None, 31),
        ("short, young", 2, 1),
        ("short, old", 2, 3),
        ("long, young", 600, 599),
        ("long, old", 600, 601),
    ):
        await repository.save_session(
            Session(
                session_id=name,
                last_updated=now - timedelta(minutes=idle),
                timeout_minutes=own,
                agents_streaming={WRITER},
            )
        )
    counts = await manager.expire_old_sessions()
    assert (counts.sessions, counts.streams) == (3, 3)
    left = [session.session_id for session in await repository.list_sessions()]
    assert left == ["default, young", "long, young", "short, young"]
    assert len(await events(repository, "session_expired")) == 3
    assert len(await events(repository, "signal_settled")) == 3


async def test_a_sweep_goes_through_all_in_batches(
    managers: Managers, repository: SessionRepository
) -> None:
    now = datetime.now(UTC)
    for number in range(25):
        await repository.save_session(
            Session(
                session_id=f"s{number}",
                last_updated=now - timedelta(hours=2, minutes=number % 3),
                timeout_minutes=(None, 1, 60.5)[number % 3],
            )
        )
    swept = await managers(sweep_batch_size=4).expire_old_sessions()
    assert swept.sessions == 25
    assert await repository.list_sessions() == []


async def test_a_session_that_is_touched_lives_on(
    manager: SessionManager, repository: SessionRepository
) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=3)
    for name in ("touched", "left"):
        await repository.save_session(
            Session(session_id=name, last_updated=long_ago, timeout_minutes=2)
        )
    await manager.get_session("touched")
    assert (await manager.expire_old_sessions()).sessions == 1
    assert [session.session_id for session in await repository.list_sessions()] == ["touched"]


async def test_those_with_a_timeout_live_on_for_the_grace(repository: SessionRepository) -> None:
    idle = datetime.now(UTC) - timedelta(minutes=3)
    await repository.save_session(Session(session_id="s", last_updated=idle, timeout_minutes=2))
    position, swept = None, 0
    for grace in (timedelta(minutes=2), timedelta(0)):
        position = None
        while True:
            batch = await repository.expire_sessions(
                timedelta(hours=1), Requester(), grace=grace, limit=1, after=position
            )
            swept += batch.sessions
            if (position := batch.position) is None:
                break
        assert swept == (0 if grace else 1)


async def test_a_stream_touches_its_session_by_the_sessions_own_timeout(
    manager: SessionManager, repository: SessionRepository
) -> None:
    """A quarter of 30 minutes would be too late by far."""
    started = await manager.start_session("s", timeout_minutes=0.02)

    async def ticks() -> AsyncIterator[int]:
        for number in range(10_000):
            yield number
            await asyncio.sleep(0.01)

    async with asyncio.timeout(60):
        stream = manager.stream("s", WRITER, ticks())
        async for _ in stream:
            found = await repository.find_session("s")
            assert found is not None
            if found.last_updated - started.last_updated > timedelta(seconds=1.5):
                break
        await stream.aclose()


async def test_the_worker_sweeps_them(managers: Managers, repository: SessionRepository) -> None:
    async with managers(touch_resolution_sec=0, cleanup_interval_sec=0.05) as manager:
        await manager.start_session("short", timeout_minutes=0.005)
        await manager.start_session("default")

        async def has_gone() -> bool:
            return await repository.find_session("short") is None

        await eventually(has_gone)
        assert await repository.find_session("default") is not None


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 1e300, "soon"])
async def test_a_timeout_that_makes_no_sense_is_refused(
    manager: SessionManager, repository: SessionRepository, minutes: float
) -> None:
    with pytest.raises(InvalidValueError, match="timeout_minutes"):
        await manager.start_session("s", timeout_minutes=minutes)
    assert await repository.list_sessions() == []


async def test_a_timeout_that_the_touch_resolution_would_swallow_is_refused(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(touch_resolution_sec=60)
    with pytest.raises(InvalidValueError, match=r"timeout_minutes 2 is too short for .* 60 s"):
        await manager.start_session("s", timeout_minutes=2)
    assert (await manager.start_session("s", timeout_minutes=2.1)).timeout_minutes == 2.1
