"""Two requests of one name at once: one is carried out, and the other is told so."""

from uuid import UUID, uuid4

import pytest

from session_router import RequestUnderWayError
from session_router.repository.changes import Start, Stop
from session_router.repository.sql import endings, interrupts, requests
from tests.races.conftest import BY_TEST, WRITER, Race, within
from tests.support.trail import events


def stop(name: UUID) -> Stop:
    return Stop.of("s", None, BY_TEST, name)


async def test_a_repetition_does_not_wait_for_an_interrupt_that_is_under_way(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    await race.register("s", worker_id)
    async with race.held() as conn:
        first = await interrupts.interrupt(conn, race.tables, stop(name))
        with pytest.raises(RequestUnderWayError):
            await within(race.repository.interrupt_streams("s", None, BY_TEST, request_id=name))
    again = await race.repository.interrupt_streams("s", None, BY_TEST, request_id=name)
    assert first is not None
    assert again is not None
    assert again.streams == first.streams
    assert (again.agents, again.signals) == ([WRITER], [])
    assert len(await events(race.repository, "interrupt_requested")) == 1


async def test_a_repetition_that_waited_for_the_session_looks_at_the_name_first(race: Race) -> None:
    """The first one waits for the session's row, and has its name's lock only while it tries."""
    worker_id, name = await race.worker(), uuid4()
    await race.register("s", worker_id)
    async with race.held() as conn:
        await endings.replace(conn, race.tables, Start("s", BY_TEST))
        waiting = await race.blocked(
            race.repository.replace_session(Start("s", BY_TEST, request_id=name))
        )
    session, _ = await within(waiting)
    again, request = await race.repository.replace_session(Start("s", BY_TEST, request_id=name))
    assert (again, request.request_id) == (session, name)
    assert len(await events(race.repository, "session_replaced")) == 2


async def test_a_repetition_of_what_was_rolled_back_is_carried_out(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    await race.register("s", worker_id)
    async with race.held() as conn, conn.begin_nested() as part:
        await interrupts.interrupt(conn, race.tables, stop(name))
        await part.rollback()
    done = await race.repository.interrupt_streams("s", None, BY_TEST, request_id=name)
    assert done is not None
    assert done.agents == [WRITER]


async def test_of_two_that_begin_an_interrupt_of_all_one_is_told_that_it_is_under_way(
    race: Race,
) -> None:
    name = uuid4()
    async with race.held() as conn:
        assert await requests.begin(conn, race.tables, name, "f")
        with pytest.raises(RequestUnderWayError):
            await within(race.repository.begin_request(name, "f"))
    with pytest.raises(RequestUnderWayError):
        await race.repository.begin_request(name, "f")
    await race.repository.advance_request(name, is_over=True)
    assert not await race.repository.begin_request(name, "f")
