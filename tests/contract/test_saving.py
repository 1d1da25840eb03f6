"""Saving, reading and deleting whole sessions, as published: for imports and tests."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from session_router import (
    AgentId,
    InMemorySessionRepository,
    Session,
    SessionManager,
    SessionRepository,
)
from tests.contract.conftest import Managers
from tests.support.laws import contents
from tests.support.runtimes import ForeignId, Runtime
from tests.support.trail import events, settlements, story

A, B = AgentId("writer", "a"), AgentId("writer", "b")
NOBODY = UUID(int=0)
THEN = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        yield
    time.tzset()


async def read(repository: SessionRepository, session_id: str = "s") -> Session:
    session = await repository.get_session(session_id)
    assert session is not None
    return session


async def test_a_saved_session_reads_back_as_it_was(repository: SessionRepository) -> None:
    saved = Session(
        session_id="s",
        start_time=THEN,
        last_updated=THEN + timedelta(hours=1),
        agents_streaming={A, B},
    )
    await repository.save_session(saved)
    assert await read(repository) == saved


async def test_saving_again_writes_the_whole_snapshot(repository: SessionRepository) -> None:
    session = Session(session_id="s", agents_streaming={A})
    await repository.save_session(session)
    session.start_time = session.last_updated = THEN
    session.unmark_agent_streaming(A)
    session.mark_agent_streaming(B)
    await repository.save_session(session)
    assert await read(repository) == session
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished completed writer/a",
        "stream_started writer/b",
    ]


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize(
    "given",
    [
        THEN.replace(tzinfo=None),
        THEN.astimezone(timezone(timedelta(hours=5, minutes=45))),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, tzinfo=UTC),
    ],
)
async def test_a_time_is_kept_as_utc_whatever_its_zone(
    repository: SessionRepository, given: datetime
) -> None:
    expected = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    await repository.save_session(Session(session_id="built", start_time=given, last_updated=given))
    changed = Session(session_id="changed")
    changed.start_time = changed.last_updated = given
    await repository.save_session(changed)
    for session_id in ("built", "changed"):
        session = await read(repository, session_id)
        assert session.start_time == session.last_updated == expected
        assert session.start_time.utcoffset() == timedelta(0)


async def test_a_naive_time_that_was_assigned_does_not_upset_the_sweep(
    manager: SessionManager, repository: SessionRepository
) -> None:
    for session_id, moment in {"old": datetime(2024, 1, 1), "new": datetime(2999, 1, 1)}.items():  # noqa: DTZ001
        session = Session(session_id=session_id)
        session.last_updated = moment
        await repository.save_session(session)
    assert (await manager.expire_old_sessions()).sessions == 1
    assert [session.session_id for session in await repository.list_sessions()] == ["new"]


async def test_a_stream_that_a_save_adds_belongs_to_no_worker(
    repository: SessionRepository,
) -> None:
    await repository.save_session(Session(session_id="s", agents_streaming={A}))
    [row] = await repository.list_streams("s")
    assert (row.agent_id, row.worker_id) == (A, NOBODY)


async def test_a_stream_that_a_save_keeps_stays_its_workers(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", A)
    before = await repository.list_streams("s")
    await repository.save_session(await read(repository))
    assert await repository.list_streams("s") == before


async def test_a_signal_to_a_stream_of_no_worker_fails_at_once(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await repository.save_session(Session(session_id="s", agents_streaming={A}))
    assert await manager.interrupt_streaming_agents("s") == [A]
    assert await repository.unsettled_signals(NOBODY) == []
    assert (await settlements(repository))["writer/a"][0] == "failed"


async def test_a_worker_may_take_over_a_stream_of_no_worker(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await repository.save_session(Session(session_id="s", agents_streaming={A}))
    await manager.unmark_agent_streaming("s", A)
    stream_id = await manager.register_agent("s", A)
    [row] = await repository.list_streams("s")
    assert (row.stream_id, row.worker_id) == (stream_id, manager.worker_id)
    assert "stream_finished superseded writer/a" in await story(repository)


async def test_streams_of_no_worker_outlive_every_worker(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await repository.save_session(Session(session_id="s", agents_streaming={A}))
    await manager.start()
    await manager.shutdown()
    assert (await read(repository)).agents_streaming == {A}


async def test_reading_from_the_repository_touches_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await repository.save_session(Session(session_id="s", last_updated=THEN))
    assert (await read(repository)).last_updated == THEN
    assert (await read(repository)).last_updated == THEN


async def test_reading_an_unknown_session_creates_it_in_memory_and_nowhere_else(
    repository: SessionRepository,
) -> None:
    found = await repository.get_session("s")
    if isinstance(repository, InMemorySessionRepository):
        assert found is not None
        assert found.session_id == "s"
        assert await story(repository) == ["session_started"]
    else:
        assert found is None
        assert await story(repository) == []


async def test_deleting_a_session_ends_it_and_its_streams(
    managers: Managers, repository: SessionRepository
) -> None:
    manager = managers(Runtime(), poll_interval_sec=0.005)
    await manager.register_agent("s", A)
    session = await read(repository)
    session.mark_agent_streaming(B)
    await repository.save_session(session)
    await repository.delete_session("s")
    assert await repository.find_session("s") is None
    await manager.shutdown()
    [ended] = await events(repository, "session_ended")
    assert (ended.worker_id, ended.actor) == (None, None)
    settled = await settlements(repository)
    assert settled["writer/a"] == ("delivered", None)
    assert settled["writer/b"][0] == "failed"
    await repository.delete_session("s")
    assert len(await events(repository, "session_ended")) == 1


async def test_a_foreign_id_put_into_a_snapshot_is_saved_as_an_agent_id(
    repository: SessionRepository,
) -> None:
    session = Session(session_id="s")
    session.agents_streaming |= {ForeignId("writer", "b"), ForeignId("writer", "a")}  # type: ignore[arg-type]
    await repository.save_session(session)
    assert (await read(repository)).agents_streaming == {A, B}
    assert [row.agent_id for row in await repository.list_streams("s")] == [A, B]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda session: setattr(session, "session_id", "s\0"),
        lambda session: setattr(session, "last_updated", "yesterday"),
        lambda session: setattr(session, "start_time", None),
        lambda session: session.agents_streaming.add("no agent id"),
        lambda session: session.agents_streaming.add(ForeignId("bad type", "a")),
    ],
)
async def test_a_snapshot_that_was_spoilt_is_refused_whole(
    repository: SessionRepository, spoil: Callable[[Session], None]
) -> None:
    session = Session(session_id="s", agents_streaming={A})
    await repository.save_session(session)
    before = await contents(repository)
    session.mark_agent_streaming(B)
    spoil(session)
    with pytest.raises(ValueError, match=r".+"):
        await repository.save_session(session)
    assert await contents(repository) == before
