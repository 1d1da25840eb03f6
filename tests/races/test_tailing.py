"""Tailing the trail: who goes on from the last number that he has seen misses nothing."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from session_router import AgentId, DatabaseUnavailableError, SessionRepository
from session_router.events import StreamOutcome
from session_router.repository.changes import Finish, Register, Start
from session_router.repository.sql import streams
from tests.races.conftest import BY_TEST, WRITER, Race, within
from tests.support.waiting import eventually


async def numbers(repository: SessionRepository, after: int = 0) -> list[int]:
    return [event.event_id for event in await repository.list_events("s", after=after)]


async def test_an_event_that_commits_behind_a_later_one_is_not_missed(race: Race) -> None:
    await race.repository.add_worker(worker_id := uuid4(), "host", 1)
    stream_id = await race.register("s", worker_id)
    other = AgentId("writer", "other")
    await race.repository.register_stream(Register("s", other, worker_id, uuid4(), renew=False))
    begun = await numbers(race.repository)
    async with race.held() as conn:
        # Its number is drawn, and is below the next one's.
        await streams.finish(
            conn, race.tables, Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, None, None)
        )
        await race.repository.finish_stream(
            Finish("s", other, StreamOutcome.COMPLETED, worker_id=worker_id)
        )
        committed = await race.repository.list_events("s", tailing=False)
        assert len(committed) == len(begun) + 1
        seen = await numbers(race.repository, begun[0])
        assert seen == begun[1:]
    missing = await numbers(race.repository, seen[-1])
    assert [*begun, *missing] == await numbers(race.repository)
    assert len(missing) == 2


async def test_a_reader_waits_a_moment_for_what_is_being_committed(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await race.repository.start_session(Start("other", BY_TEST))
        await conn.execute(text("SELECT nextval('session_router.session_events_event_id_seq')"))
        await conn.execute(text("LOCK session_router.session_events IN ROW EXCLUSIVE MODE"))
        await race.repository.interrupt_streams("s", [], BY_TEST)
        reading = asyncio.create_task(numbers(race.repository))
        await eventually(lambda: looks(race))
    assert len(await within(reading)) == 2


async def test_a_gap_that_a_rollback_left_holds_nobody_up(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    await gap(race)
    await race.repository.interrupt_streams("s", [], BY_TEST)
    assert len(await numbers(race.repository)) == 2


async def test_a_writer_that_stays_is_named_and_holds_up_only_those_who_tail(race: Race) -> None:
    await race.repository.start_session(Start("s", BY_TEST))
    [first] = await numbers(race.repository)
    async with race.held() as conn:
        await conn.execute(text("LOCK session_router.session_events IN ROW EXCLUSIVE MODE"))
        pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        # It has drawn no number: none is missing, so nothing is in doubt.
        await race.repository.interrupt_streams("s", [], BY_TEST)
        assert len(await numbers(race.repository, first)) == 1
        await conn.execute(text("SELECT nextval('session_router.session_events_event_id_seq')"))
        await race.repository.interrupt_streams("s", [], BY_TEST)
        last = (await numbers(race.repository, first))[-1]
        with pytest.raises(DatabaseUnavailableError, match=f"server process {pid} has been"):
            await numbers(race.repository, last)
        assert len(await race.repository.list_events("s", tailing=False)) == 3
    assert len(await numbers(race.repository, last)) == 1


async def gap(race: Race) -> None:
    """A number that was drawn by a transaction that came to nothing."""
    async with race.held() as conn:
        await conn.execute(text("SELECT nextval('session_router.session_events_event_id_seq')"))


async def looks(race: Race) -> bool:
    """Whether somebody has looked more than once who is writing."""
    async with race.held() as conn:
        found = await conn.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND query LIKE '%row_number()%' AND pid <> pg_backend_pid()"
            )
        )
        return bool(found.scalar_one())
