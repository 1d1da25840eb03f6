"""Pruning removes whole old stories, and erasing puts pseudonyms: the audit goes on to pass."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from session_router import AgentId, InvalidSettingError, SessionManager, SQLAlchemySessionRepository
from session_router.audit import retention
from session_router.audit.keys import NO_KEYS, AuditKeys
from session_router.audit.retention import prune
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.database import migrate
from session_router.database.migrate import Target
from session_router.pseudonyms import ErasureKey
from session_router.repository.changes import Register
from tests.audit.conftest import tamper
from tests.support.laws import violations
from tests.support.trail import events

NEVER = datetime(2000, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


async def names(repository: SQLAlchemySessionRepository) -> set[str]:
    return {event.session_id for event in await events(repository)}


async def test_stories_that_are_over_go_whole(
    stories: SQLAlchemySessionRepository, trail: Trail, database_url: str
) -> None:
    before = await events(stories)

    done = await prune(trail, now(), NO_KEYS, actor="keeper")

    assert await names(stories) == {"", "stopped", "live"}
    assert (done.stories, done.events) == (1, len(before) + 1 - len(await events(stories)))
    [record] = await events(stories, "trail_pruned")
    assert (record.session_uid.int, record.request_id, record.actor) == (
        0,
        done.request_id,
        "keeper",
    )
    told = json.loads(record.detail or "")
    assert (told["stories"], told["events"]) == (done.stories, done.events)
    assert await violations(stories) == []
    assert (await verify(trail, NO_KEYS)).violations == []
    assert await migrate.check(Target(database_url)) == []


async def test_the_names_of_requests_are_kept_for_as_long_as_the_trail(
    repository: SQLAlchemySessionRepository, trail: Trail
) -> None:
    async with SessionManager(repository) as manager:
        name = uuid4()
        first = await manager.start_new_session("s", request_id=name)
        await manager.end_session("s")
        await prune(trail, NEVER, NO_KEYS)
        assert await manager.start_new_session("s", request_id=name) == first
        await prune(trail, now(), NO_KEYS)
        again = await manager.start_new_session("s", request_id=name)
        assert again.start_time > first.start_time


async def test_a_story_that_is_not_old_enough_stays(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    before = await events(stories)

    done = await prune(trail, NEVER, NO_KEYS)

    assert (done.stories, done.events) == (0, 0)
    assert await events(stories) == before


async def test_a_story_with_a_signal_to_be_settled_stays(
    repository: SQLAlchemySessionRepository, trail: Trail
) -> None:
    owner = uuid4()
    await repository.add_worker(owner, "host", 1)
    await repository.register_stream(Register("s", AgentId("a", "b"), owner, uuid4(), renew=False))
    await SessionManager(repository).end_session("s")

    assert (await prune(trail, now(), NO_KEYS)).stories == 0

    await repository.remove_worker(owner)
    assert (await prune(trail, now(), NO_KEYS)).stories == 1
    assert (await verify(trail, NO_KEYS)).violations == []


async def test_each_life_of_an_id_is_a_story_of_its_own(
    repository: SQLAlchemySessionRepository, trail: Trail
) -> None:
    manager = SessionManager(repository)
    for _ in range(3):
        await manager.start_new_session("again")

    done = await prune(trail, now(), NO_KEYS)

    assert (done.stories, done.events) == (2, 4)
    assert [event.event for event in await repository.list_events("again")] == ["session_started"]
    assert await violations(repository) == []


@pytest.mark.parametrize(("limit", "value"), [("WINDOW", 4), ("BATCH", 2)])
async def test_a_long_trail_is_pruned_stretch_by_stretch(
    repository: SQLAlchemySessionRepository,
    trail: Trail,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(retention, limit, value)
    manager = SessionManager(repository)
    for number in range(7):
        await manager.start_session(f"s{number}")
        await manager.end_session(f"s{number}")

    done = await prune(trail, now(), NO_KEYS)

    assert (done.stories, done.events) == (7, 14)
    records = await events(repository, "trail_pruned")
    assert len(records) > 1
    assert {record.request_id for record in records} == {done.request_id}
    assert sum(json.loads(record.detail or "")["events"] for record in records) == 14


async def test_seals_outlast_a_pruning(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    await SessionManager(stories).end_session("stopped")
    await seal(trail, keys)

    done = await prune(trail, now(), keys)

    assert done.stories == 2
    assert await names(stories) == {"", "live"}
    found = await verify(trail, keys)
    assert (found.violations, found.seals) == ([], 2)
    await seal(trail, keys)
    assert (await verify(trail, keys)).violations == []


async def test_a_sealed_story_is_not_pruned_without_its_key(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    before = await events(stories)

    for wrong in (NO_KEYS, AuditKeys(ErasureKey("x" * 40))):
        with pytest.raises(InvalidSettingError, match="SESSION_ROUTER_ERASURE_KEY"):
            await prune(trail, now(), wrong)

    assert await events(stories) == before


async def test_a_pruning_that_nobody_recorded_is_found(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    await seal(trail, keys)
    await prune(trail, now(), keys)
    await tamper(
        database_url, "DELETE FROM session_router.session_events WHERE event = 'trail_pruned'"
    )

    [violation] = (await verify(trail, keys)).violations
    assert violation.law == "pruning"


async def test_what_is_left_of_a_pruned_story_is_one_row_a_seal(
    stories: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys
) -> None:
    await seal(trail, keys)
    done = await prune(trail, now(), keys)

    async with trail.snapshot() as conn:
        [left] = (await conn.execute(select(trail.tables.sealed_changes))).all()
    assert (left.seal_id, left.events, left.request_id) == (1, done.events, done.request_id)
    assert left.digest_after is None
