"""Sessions: started once, touched, replaced, ended; and never made by accident."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from session_router import AgentId, Session, SessionManager, SessionRepository
from tests.contract.conftest import Managers
from tests.support.laws import contents
from tests.support.trail import events, story

WRITER = AgentId("writer", "a")


async def test_a_session_is_started_once_however_often_it_is_asked_for(
    manager: SessionManager, repository: SessionRepository
) -> None:
    first = await manager.start_session("s")
    second = await manager.start_session("s")
    assert second.start_time == first.start_time
    assert await story(repository) == ["session_started"]


async def test_many_callers_of_many_workers_start_one_session(
    managers: Managers, repository: SessionRepository
) -> None:
    workers = [managers() for _ in range(3)]
    started = await asyncio.gather(
        *(worker.start_session("s") for worker in workers for _ in range(8))
    )
    assert len({session.start_time for session in started}) == 1
    assert await story(repository) == ["session_started"]


async def test_many_registrations_at_once_start_one_session(
    managers: Managers, repository: SessionRepository
) -> None:
    workers = [managers() for _ in range(2)]
    agents = [AgentId("writer", str(n)) for n in range(8)]
    await asyncio.gather(
        *(workers[n % 2].register_agent("s", agent) for n, agent in enumerate(agents))
    )
    assert len(await events(repository, "session_started")) == 1
    session = await repository.find_session("s")
    assert session is not None
    assert session.agents_streaming == set(agents)


async def test_a_session_is_returned_with_the_agents_that_stream_in_it(
    manager: SessionManager,
) -> None:
    await manager.register_agent("s", WRITER)
    await manager.register_agent("other", AgentId("writer", "b"))
    for session in (await manager.start_session("s"), await manager.get_session("s")):
        assert session is not None
        assert session.session_id == "s"
        assert session.agents_streaming == {WRITER}


async def test_times_are_aware_utc_and_in_order(manager: SessionManager) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    session = await manager.start_session("s")
    assert session.start_time.utcoffset() == session.last_updated.utcoffset() == timedelta(0)
    assert before < session.start_time <= session.last_updated < before + timedelta(minutes=2)


async def test_starting_getting_and_registering_touch_a_session(
    manager: SessionManager, repository: SessionRepository
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    for touch in (
        lambda: manager.start_session("s"),
        lambda: manager.get_session("s"),
        lambda: manager.register_agent("s", WRITER),
    ):
        await repository.save_session(Session(session_id="s", last_updated=long_ago))
        await touch()
        session = await repository.find_session("s")
        assert session is not None
        assert session.last_updated > long_ago


async def test_a_touch_never_takes_last_updated_back(
    manager: SessionManager, repository: SessionRepository
) -> None:
    ahead = datetime.now(UTC).replace(microsecond=123_456) + timedelta(days=1)
    await repository.save_session(Session(session_id="s", last_updated=ahead))
    started = await manager.start_session("s")
    got = await manager.get_session("s")
    await manager.register_agent("s", WRITER)
    kept = await repository.find_session("s")
    assert got is not None
    assert kept is not None
    assert started.last_updated == got.last_updated == kept.last_updated == ahead


async def test_concurrent_touches_only_ever_move_forward(manager: SessionManager) -> None:
    last = (await manager.start_session("s")).last_updated
    for _ in range(5):
        touched = await asyncio.gather(*(manager.get_session("s") for _ in range(8)))
        seen = [session.last_updated for session in touched if session is not None]
        assert len(seen) == 8
        assert min(seen) >= last
        session = await manager.get_session("s")
        assert session is not None
        assert session.last_updated >= max(seen)
        last = session.last_updated


async def test_touches_are_not_events(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s")
    await manager.start_session("s")
    await manager.get_session("s")
    assert await story(repository) == ["session_started"]


async def test_changing_a_snapshot_changes_nothing(manager: SessionManager) -> None:
    await manager.register_agent("s", WRITER)
    snapshot = await manager.start_session("s")
    snapshot.end_session()
    snapshot.mark_agent_streaming(AgentId("stranger", "x"))
    snapshot.last_updated = datetime(2000, 1, 1, tzinfo=UTC)
    session = await manager.get_session("s")
    assert session is not None
    assert session.agents_streaming == {WRITER}
    assert session.last_updated.year > 2000


async def test_a_brand_new_session_over_an_unknown_id_is_just_started(
    manager: SessionManager, repository: SessionRepository
) -> None:
    session = await manager.start_new_session("s")
    assert session.agents_streaming == set()
    assert await story(repository) == ["session_started"]


async def test_a_brand_new_session_replaces_a_live_one_and_stops_its_streams(
    manager: SessionManager, repository: SessionRepository
) -> None:
    old = await manager.start_session("s")
    await manager.register_agent("s", WRITER)
    fresh = await manager.start_new_session("s")
    assert fresh.agents_streaming == set()
    assert fresh.start_time >= old.last_updated
    assert await story(repository) == [
        "session_started",
        "stream_started writer/a",
        "stream_finished session_replaced writer/a",
        "session_replaced",
        "session_started",
        "signal_settled failed writer/a",
    ]
    lives = {event.session_uid for event in await events(repository, "session_started")}
    assert len(lives) == 2


async def test_a_replaced_session_starts_afresh_even_where_its_last_touch_lies_ahead(
    manager: SessionManager, repository: SessionRepository
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    await repository.save_session(Session(session_id="s", last_updated=ahead))
    fresh = await manager.start_new_session("s")
    assert fresh.last_updated < ahead


async def test_an_ended_session_is_gone_and_its_trail_stays(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("s")
    assert await manager.end_session("s", actor="alice", reason="bored") is True
    assert await manager.get_session("s") is None
    assert await repository.list_sessions() == []
    [ended] = await events(repository, "session_ended")
    assert (ended.actor, ended.detail, ended.worker_id) == ("alice", "bored", manager.worker_id)


async def test_ending_a_session_twice_ends_it_once(
    managers: Managers, repository: SessionRepository
) -> None:
    first, second = managers(), managers()
    await first.register_agent("s", WRITER)
    answers = await asyncio.gather(first.end_session("s"), second.end_session("s"))
    assert sorted(answers) == [False, True]
    assert await first.end_session("s") is False
    assert len(await events(repository, "session_ended")) == 1


async def test_an_id_that_ended_can_live_again(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.register_agent("s", WRITER)
    await manager.end_session("s")
    again = await manager.start_session("s")
    assert again.agents_streaming == set()
    uids = [event.session_uid for event in await events(repository, "session_started")]
    assert len(set(uids)) == 2


async def test_an_unknown_id_creates_nothing(
    manager: SessionManager, repository: SessionRepository
) -> None:
    await manager.start_session("known")
    before = await contents(repository)
    for stream_id in (None, uuid4()):
        await manager.unmark_agent_streaming("unknown", WRITER, stream_id)
        await manager.unmark_agent_streaming("known", WRITER, stream_id)
    assert await manager.get_session("unknown") is None
    assert await manager.interrupt_streaming_agents("unknown") == []
    assert await manager.interrupt_streaming_agents("unknown", [WRITER]) == []
    assert await manager.end_session("unknown") is False
    assert await repository.find_session("unknown") is None
    assert await repository.list_streams("unknown") == []
    await repository.delete_session("unknown")
    assert await contents(repository) == before


async def test_sessions_are_listed_page_by_page_in_the_order_of_their_code_points(
    manager: SessionManager, repository: SessionRepository
) -> None:
    ids = ["B", "a", "ab", "a b", "a-b", "é", "ﬁ", "\N{GRINNING FACE}", "Z", "_", "10", "9"]
    for session_id in ids:
        await manager.start_session(session_id)
    await manager.register_agent("ab", WRITER)
    listed: list[Session] = []
    while page := await repository.list_sessions(
        after=listed[-1].session_id if listed else None, limit=5
    ):
        assert len(page) <= 5
        listed += page
    assert [session.session_id for session in listed] == sorted(ids)
    streaming = {s.session_id: s.agents_streaming for s in listed if s.agents_streaming}
    assert streaming == {"ab": {WRITER}}
