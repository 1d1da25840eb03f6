"""The sweep: what is idle goes, what is touched stays, however many sweep at once."""

import asyncio
from datetime import UTC, datetime, timedelta

from session_router import AgentId, Session, SessionManager, SessionRepository
from session_router.worker.sweeper import SweepCounts
from tests.contract.conftest import Managers
from tests.support.runtimes import Runtime
from tests.support.trail import events, settlements, story
from tests.support.waiting import eventually

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def idle(repository: SessionRepository, *session_ids: str, minutes: float = 60) -> None:
    """Make sessions look untouched for so long; those that do not live are created."""
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    for session_id in session_ids:
        session = await repository.find_session(session_id) or Session(session_id=session_id)
        session.last_updated = moment
        await repository.save_session(session)


async def living(repository: SessionRepository) -> list[str]:
    return [session.session_id for session in await repository.list_sessions()]


async def test_idle_sessions_are_deleted_and_others_stay(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("fresh")
    await idle(repository, "old", "older")
    await idle(repository, "recent", minutes=29)
    assert await manager.expire_old_sessions() == SweepCounts(sessions=2, streams=0)
    assert await living(repository) == ["fresh", "recent"]
    expired = await events(repository, "session_expired")
    assert {event.session_id for event in expired} == {"old", "older"}
    assert {event.worker_id for event in expired} == {manager.worker_id}


async def test_a_sweep_that_finds_nothing_writes_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    assert await manager.expire_old_sessions() == SweepCounts(0, 0)
    await manager.start_session("fresh")
    assert await manager.expire_old_sessions() == SweepCounts(0, 0)
    assert await story(repository) == ["session_started"]


async def test_a_session_touched_before_the_sweep_revives(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await idle(repository, "got", "started", "registered", "left")
    await manager.get_session("got")
    await manager.start_session("started")
    await manager.register_agent("registered", A)
    assert await manager.expire_old_sessions() == SweepCounts(1, 0)
    assert await living(repository) == ["got", "registered", "started"]


async def test_a_session_is_left_alone_for_the_touch_resolution_beyond_its_timeout(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(timeout_minutes=30, touch_resolution_sec=600)
    await idle(repository, "35", minutes=35)
    await idle(repository, "45", minutes=45)
    assert (await manager.expire_old_sessions()).sessions == 1
    assert await living(repository) == ["35"]


async def test_a_sweep_goes_on_batch_by_batch_until_nothing_is_left(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(sweep_batch_size=2)
    for minutes in (60, 50, 40):
        await idle(repository, f"old {minutes}", minutes=minutes)
    await idle(repository, *(f"same {n}" for n in range(4)), minutes=55)
    await manager.start_session("fresh")
    assert await manager.expire_old_sessions() == SweepCounts(7, 0)
    assert await living(repository) == ["fresh"]


async def test_a_sweep_begins_with_the_idlest(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(sweep_batch_size=1)
    await idle(repository, "b", minutes=50)
    await idle(repository, "a", minutes=40)
    await idle(repository, "c", minutes=60)
    await manager.expire_old_sessions()
    expired = await events(repository, "session_expired")
    assert [event.session_id for event in expired] == ["c", "b", "a"]


async def test_streams_of_an_expired_session_are_stopped_and_their_agents_removed(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    owner, sweeper = managers(runtime), managers()
    await owner.register_agent("old", A)
    await owner.register_agent("old", B)
    await owner.register_agent("fresh", A)
    await owner.unmark_agent_streaming("fresh", A)
    await idle(repository, "old")
    assert await sweeper.expire_old_sessions() == SweepCounts(sessions=1, streams=2)
    await eventually(lambda: _settled(repository, 2))
    assert await settlements(repository) == {
        "writer/a": ("delivered", None),
        "writer/b": ("delivered", None),
    }
    assert (runtime.cancels("a"), runtime.cancels("b")) == (1, 1)
    assert sorted(runtime.removed) == [A, B]
    told = await story(repository, "old")
    assert told[3:6] == [
        "stream_finished session_expired writer/a",
        "stream_finished session_expired writer/b",
        "session_expired",
    ]


async def test_the_sweepers_own_streams_are_stopped_without_a_start(
    managers: Managers, repository: SessionRepository
) -> None:
    runtime = Runtime()
    manager = managers(runtime)
    await manager.register_agent("old", A)
    await idle(repository, "old")
    await manager.expire_old_sessions()
    await eventually(lambda: _settled(repository, 1))
    assert (runtime.cancels("a"), runtime.removed) == (1, [A])


async def test_a_sweep_does_not_wait_for_an_agent_that_hangs(
    managers: Managers, repository: SessionRepository
) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    manager = managers(Runtime(a=wait), cancel_timeout_sec=60)
    await manager.register_agent("old", A)
    await idle(repository, "old")
    assert (await manager.expire_old_sessions()).streams == 1
    assert await settlements(repository) == {}
    release.set()
    await eventually(lambda: _settled(repository, 1))


async def test_streams_that_belong_to_no_worker_expire_with_their_session(
    manager: SessionManager, repository: SessionRepository
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    await repository.save_session(
        Session(session_id="old", last_updated=long_ago, agents_streaming={A})
    )
    assert await manager.expire_old_sessions() == SweepCounts(1, 1)
    assert (await settlements(repository))["writer/a"][0] == "failed"


async def test_workers_that_sweep_at_once_expire_each_session_once(
    managers: Managers, repository: SessionRepository
) -> None:
    ids = [f"old {n}" for n in range(12)]
    await idle(repository, *ids)
    sweepers = [managers(sweep_batch_size=2) for _ in range(4)]
    counts = await asyncio.gather(*(sweeper.expire_old_sessions() for sweeper in sweepers))
    assert sum(count.sessions for count in counts) == 12
    assert await living(repository) == []
    assert len(await events(repository, "session_expired")) == 12


async def test_a_session_touched_during_a_sweep_either_survives_or_starts_afresh(
    managers: Managers, repository: SessionRepository
) -> None:
    ids = [f"old {n}" for n in range(10)]
    await idle(repository, *ids)
    sweeper, user = managers(sweep_batch_size=1), managers()
    using = asyncio.gather(*(user.start_session(session_id) for session_id in ids))
    swept = await sweeper.expire_old_sessions()
    await using
    assert await living(repository) == sorted(ids)
    assert len(await events(repository, "session_expired")) == swept.sessions
    assert len(await events(repository, "session_started")) == 10 + swept.sessions


async def test_a_started_manager_sweeps_by_itself_again_and_again(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(cleanup_interval_sec=0.02)
    await manager.start()
    for session_id in ("one", "two"):
        await idle(repository, session_id)
        await eventually(lambda: _nothing_lives(repository))
    assert len(await events(repository, "session_expired")) == 2


async def _settled(repository: SessionRepository, number: int) -> bool:
    return len(await events(repository, "signal_settled")) == number


async def _nothing_lives(repository: SessionRepository) -> bool:
    return await repository.list_sessions() == []
