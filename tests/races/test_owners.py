"""Two owners at one id: whoever waited looks whose the session is when its way is free."""

from dataclasses import replace
from uuid import uuid4

import pytest

from session_router import SessionOwnedError
from session_router.repository.changes import Register, Start, Stop, Touch
from session_router.repository.sql import endings, sessions, streams
from tests.races.conftest import BY_TEST, WRITER, Race, within
from tests.races.test_names import named, stop_of
from tests.support.trail import story

ACMES = Start("s", BY_TEST, owner="acme")
OTHERS = Start("s", BY_TEST, owner="other")


async def whose(race: Race) -> str | None:
    found = await race.repository.find_session("s")
    assert found is not None
    return found.owner


async def test_a_start_that_waited_for_another_owners_is_refused(race: Race) -> None:
    async with race.held() as conn:
        await sessions.start(conn, race.tables, ACMES)
        starting = await race.blocked(race.repository.start_session(OTHERS))
    with pytest.raises(SessionOwnedError):
        await within(starting)
    assert await whose(race) == "acme"
    assert await story(race.repository) == ["session_started"]


async def test_a_registration_that_waited_for_the_next_owners_life_is_refused(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(ACMES)
    asked = Register("s", WRITER, worker_id, uuid4(), renew=False, owner="acme")
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        await sessions.start(conn, race.tables, OTHERS)
        registering = await race.blocked(race.repository.register_stream(asked))
    with pytest.raises(SessionOwnedError):
        await within(registering)
    assert await race.repository.list_streams("s") == []


async def test_an_owner_that_waited_does_nothing_to_the_next_owners_life(race: Race) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(ACMES)
    async with race.held() as conn:
        await endings.end(conn, race.tables, Stop("s", BY_TEST))
        registered = Register("s", WRITER, worker_id, uuid4(), renew=False, owner="other")
        await streams.register(conn, race.tables, registered)
        waiting = [
            await race.blocked(operation)
            for operation in (
                race.repository.end_session("s", BY_TEST, owner="acme"),
                race.repository.interrupt_streams("s", None, BY_TEST, owner="acme"),
                race.repository.touch_session(Touch("s", owner="acme")),
            )
        ]
    assert [await within(each) for each in waiting] == [None, None, None]
    assert await whose(race) == "other"
    assert len(await race.repository.list_streams("s")) == 1


async def test_a_stop_that_waited_for_another_owners_registration_hits_nothing(race: Race) -> None:
    worker_id, name = await race.worker(), uuid4()
    async with race.held() as conn:
        asked = replace(named(worker_id, name), owner="acme")
        await streams.register(conn, race.tables, asked)
        stopping = await race.blocked(
            race.repository.interrupt_stream(replace(stop_of(name), owner="other")),
            at="SELECT pg_advisory",
        )
    with pytest.raises(SessionOwnedError):
        await within(stopping)
    assert [row.stream_id for row in await race.repository.list_streams("s")] == [name]
