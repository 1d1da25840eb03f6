"""Erasures and prunings against whoever is just writing into the same story."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.receipts import Receipt
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.events import SignalOutcome, StreamOutcome
from session_router.pseudonyms import ErasureKey
from session_router.repository.changes import Finish, Register, Start
from session_router.repository.records import Settlement
from session_router.repository.sql import rows, signals, streams
from tests.races.conftest import BY_TEST, WRITER, Race, within

KEYS = AuditKeys(ErasureKey("the erasure key of these races alone"))


@pytest.fixture
async def trail(postgres_url: str) -> AsyncIterator[Trail]:
    async with Trail.opened(postgres_url) as opened:
        yield opened
        assert (await verify(opened, KEYS)).violations == []


async def erased(trail: Trail) -> Receipt:
    receipt = await erase(trail, "s", KEYS)
    assert receipt is not None
    return receipt


async def names(race: Race) -> set[str]:
    return {event.session_id for event in await race.repository.list_events(limit=1_000)}


async def test_an_erasure_finds_the_signal_that_was_being_settled(race: Race, trail: Trail) -> None:
    worker_id = await race.worker()
    await race.register("s", worker_id)
    await race.repository.end_session("s", BY_TEST)
    [signal] = await race.repository.unsettled_signals(worker_id)
    async with race.held() as conn:
        failed = Settlement(signal.signal_id, SignalOutcome.FAILED, "writer/alice of s is gone")
        await signals.settle(conn, race.tables, [failed])
        erasing = await race.blocked(erased(trail))
    receipt = await within(erasing)

    assert await names(race) == {receipt.pseudonym}
    assert receipt.signals == 0


async def test_an_erasure_finds_the_stream_that_was_just_ending(race: Race, trail: Trail) -> None:
    worker_id = await race.worker()
    stream_id = await race.register("s", worker_id)
    async with race.held() as conn:
        await streams.finish(
            conn,
            race.tables,
            Finish("s", WRITER, StreamOutcome.COMPLETED, stream_id, None, "by alice"),
        )
        erasing = await race.blocked(erased(trail))
    receipt = await within(erasing)

    assert await names(race) == {receipt.pseudonym}


async def test_an_erasure_stops_the_stream_that_was_being_registered(
    race: Race, trail: Trail
) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        erasing = await race.blocked(erased(trail))
    receipt = await within(erasing)

    assert await names(race) == {receipt.pseudonym}
    assert len(await race.repository.unsettled_signals(worker_id)) == 1


async def test_a_life_that_begins_during_an_erasure_is_left_whole(race: Race, trail: Trail) -> None:
    worker_id = await race.worker()
    await race.repository.start_session(Start("s", BY_TEST))
    await race.repository.end_session("s", BY_TEST)
    async with race.held() as conn:
        await streams.register(conn, race.tables, Register("s", WRITER, worker_id, uuid4(), False))
        receipt = await within(erased(trail))

    assert (receipt.lives, receipt.was_live) == (1, False)
    assert [e.event for e in await race.repository.list_events("s")] == [
        "session_started",
        "stream_started",
    ]


async def test_a_registration_that_waited_for_an_erasure_begins_a_new_life(
    race: Race, trail: Trail
) -> None:
    worker_id = await race.worker()
    await race.register("s", worker_id)
    async with race.held() as conn:
        # Holds back the erasure after it has locked the session.
        await rows.lock_streams(conn, race.tables, ["s"])
        erasing = await race.blocked(erased(trail))
        registering = asyncio.create_task(race.register("s", worker_id))
    receipt = await within(erasing)
    stream_id = await within(registering)

    assert [s.stream_id for s in await race.repository.list_streams("s")] == [stream_id]
    assert await names(race) == {receipt.pseudonym, "s"}


async def test_sealing_pruning_and_erasing_at_once_leave_a_whole_trail(
    race: Race, trail: Trail
) -> None:
    for number in range(30):
        await race.repository.start_session(Start(f"s{number}", BY_TEST))
        if number % 3:
            await race.repository.end_session(f"s{number}", BY_TEST)
    soon = datetime.now(UTC) + timedelta(seconds=30)

    await within(
        asyncio.gather(
            seal(trail, KEYS),
            *(erase(trail, f"s{number}", KEYS) for number in range(0, 30, 2)),
            seal(trail, KEYS),
            prune(trail, soon, KEYS),
            seal(trail, KEYS),
        )
    )
