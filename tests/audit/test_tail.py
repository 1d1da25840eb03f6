"""The tail, which no seal proves: what is told of it, what is refused there, and what is found."""

import asyncio
import logging
import signal
import sqlite3
from datetime import timedelta

import asyncpg
import pytest

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.audit.keys import NO_KEYS, AuditKeys
from session_router.audit.laws import Violation
from session_router.audit.seals import seal, seal_if_due, seals
from session_router.audit.trail import Trail
from session_router.audit.verification import last_verified, record, verify
from session_router.sealing import sealing
from tests.audit.conftest import KEY, tamper
from tests.support.by_hand import execute
from tests.support.processes import PythonProcess
from tests.support.waiting import eventually

EVENTS = "session_router.session_events"
REFUSED = (asyncpg.InsufficientPrivilegeError, sqlite3.IntegrityError)
FORGED = "11111111-1111-1111-1111-111111111111"


def at(url: str, seconds: int) -> str:
    """So many seconds from now, in the database's words."""
    if url.startswith("sqlite"):
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds} seconds')"
    return f"now() + {seconds} * interval '1 second'"


def forged(url: str, seconds: int, event: str = "session_started") -> str:
    return (
        f"INSERT INTO {EVENTS} (occurred_at, session_id, session_uid, event) "
        f"VALUES ({at(url, seconds)}, 'forged', '{FORGED}', '{event}')"
    )


async def laws_broken(trail: Trail, keys: AuditKeys = NO_KEYS) -> list[Violation]:
    return (await verify(trail, keys)).violations


@pytest.mark.parametrize("seconds", [-86_400, -90, 90, 86_400])
async def test_an_event_whose_time_is_not_the_databases_own_is_refused(
    database_url: str, seconds: int
) -> None:
    with pytest.raises(REFUSED, match="its time is off by more than a minute"):
        await execute(database_url, forged(database_url, seconds))
    await execute(database_url, forged(database_url, -1))
    [row] = await execute(database_url, f"SELECT count(*) FROM {EVENTS}")
    assert row[0] == 1


async def test_an_event_that_was_put_into_the_past_is_found(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    await tamper(
        database_url, forged(database_url, -3_600), forged(database_url, -3_600, "session_ended")
    )
    found = await laws_broken(trail)
    assert [(each.law, each.subject) for each in found] == [("time", "event")] * 2


async def test_an_event_that_was_moved_into_the_past_is_found_sealed_or_not(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str, keys: AuditKeys
) -> None:
    newest = f"(SELECT max(event_id) FROM {EVENTS})"
    await seal(trail, keys)
    for laws in (["time"], ["seal", "time"]):
        await tamper(
            database_url,
            f"UPDATE {EVENTS} SET occurred_at = {at(database_url, -3_600)} "
            f"WHERE event_id = {newest}",
        )
        # As if nothing had been sealed yet, and as it is.
        asked = NO_KEYS if laws == ["time"] else keys
        assert sorted(each.law for each in await laws_broken(trail, asked)) == laws


async def test_what_follows_what_was_verified_is_compared_with_that(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    await record(trail, await verify(trail, keys), None)
    since = await last_verified(trail)
    await SessionManager(stories).start_session("later")
    await tamper(
        database_url,
        f"UPDATE {EVENTS} SET occurred_at = {at(database_url, -3_600)} "
        f"WHERE event_id = (SELECT max(event_id) FROM {EVENTS})",
    )
    [found] = (await verify(trail, keys, since=since)).violations
    assert found.law == "time"


async def test_it_is_told_how_much_is_not_sealed_and_since_when(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    before = await verify(trail, keys)
    await seal(trail, keys)
    whole = await verify(trail, keys)
    assert (before.unsealed, before.unsealed_since is None) == (before.events, False)
    assert (whole.unsealed, whole.unsealed_since) == (0, None)
    await SessionManager(stories).start_session("later")
    [started] = await stories.list_events("later")
    behind = await verify(trail, keys)
    assert (behind.unsealed, behind.unsealed_since) == (1, started.occurred_at)


@pytest.mark.parametrize("these", ["seal_id = (SELECT max(seal_id) FROM {seals})", "true"])
async def test_seals_that_were_there_when_the_trail_was_verified_are_missed(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    keys: AuditKeys,
    these: str,
) -> None:
    await seal(trail, keys)
    await SessionManager(stories).start_session("later")
    await SessionManager(stories).end_session("later")
    [newest] = await seal(trail, keys)
    await record(trail, await verify(trail, keys), None)
    table = "session_router.audit_seals"
    uid = (await stories.list_events("later"))[0].session_uid
    await tamper(
        database_url,
        f"DELETE FROM {table} WHERE {these.format(seals=table)}",
        f"DELETE FROM {EVENTS} WHERE session_uid = '{uid}'",
    )
    [found] = await laws_broken(trail, keys)
    assert (found.law, found.subject) == ("seal", "verification")
    assert found.counts["sealed then until"] == newest.last_event_id


async def test_the_trail_is_sealed_when_the_newest_seal_is_old_enough(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    assert await seal_if_due(trail, keys, timedelta(hours=1))
    await SessionManager(stories).start_session("later")
    assert await seal_if_due(trail, keys, timedelta(hours=1)) == []
    assert await seal_if_due(trail, keys, timedelta(0))


async def test_those_who_seal_at_the_same_time_take_turns(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("session_router.audit.trail.PAGE", 2)
    made = await asyncio.gather(*(seal(trail, keys) for _ in range(3)))
    async with trail.reading() as conn:
        there = await seals(trail, conn)
    assert sorted(each.seal_id for some in made for each in some) == [s.seal_id for s in there]
    assert await laws_broken(trail, keys) == []


async def test_sealing_goes_on_after_a_failure(
    database_url: str,
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "session_router")
    await execute(database_url, "ALTER TABLE session_router.audit_seals RENAME TO elsewhere")
    async with sealing(trail, keys, timedelta(hours=1)):
        await eventually(lambda: "job_failed job=seal" in caplog.text)
        await execute(database_url, "ALTER TABLE session_router.elsewhere RENAME TO audit_seals")
        await eventually(lambda: "trail_sealed" in caplog.text)
    assert (await verify(trail, keys)).unsealed == 0


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
async def test_a_program_seals_until_it_is_told_to_stop(
    database_url: str,
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    keys: AuditKeys,
    monkeypatch: pytest.MonkeyPatch,
    order: signal.Signals,
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", KEY)

    async def is_sealed() -> bool:
        return (await verify(trail, keys)).unsealed == 0

    command = ("session_router", "audit", "seal", "--every", "1s")
    async with PythonProcess.running(*command) as program:
        await eventually(is_sealed, within=60)
        await SessionManager(stories).start_session("later")
        await eventually(is_sealed, within=60)
        program.send(order)
        await program.result()
