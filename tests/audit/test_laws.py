"""The laws, asked of the database: they hold in real life, and each breach is found."""

import pytest

from session_router import SQLAlchemySessionRepository
from session_router.audit.keys import NO_KEYS
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from tests.audit.conftest import tamper
from tests.support.by_hand import execute

EVENTS = "session_router.session_events"
UID = "11111111-1111-1111-1111-111111111111"


def event(name: str, **columns: str) -> str:
    given = {"session_id": "x", "session_uid": UID, "event": name} | columns
    values = ", ".join(f"'{value}'" for value in given.values())
    return f"INSERT INTO {EVENTS} ({', '.join(given)}) VALUES ({values})"


async def told(trail: Trail) -> list[str]:
    return [str(violation) for violation in (await verify(trail, NO_KEYS)).violations]


async def test_they_hold_over_stories_of_all_kinds(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    found = await verify(trail, NO_KEYS)

    assert found.violations == []
    assert found.events == len(await stories.list_events(limit=1_000)) > 10
    assert (found.seals, found.sealed_until) == (0, 0)


async def test_they_hold_where_nothing_has_happened(trail: Trail) -> None:
    assert (await verify(trail, NO_KEYS)).violations == []


LAW_1 = {
    "a stream without its start": (
        [event("session_started"), event("session_ended"),
         event("stream_finished", stream_id=UID, outcome="completed")],
        f"law 1: stream {UID}: started 0, finished 1, live 0",
    ),
    "a stream that ends twice": (
        [event("session_started"), event("session_ended"), event("stream_started", stream_id=UID),
         *[event("stream_finished", stream_id=UID, outcome="completed")] * 2],
        f"law 1: stream {UID}: started 1, finished 2, live 0",
    ),
    "a stream that neither ends nor lives": (
        [event("session_started"), event("session_ended"), event("stream_started", stream_id=UID)],
        f"law 1: stream {UID}: started 1, finished 0, live 0",
    ),
}  # fmt: skip
LAW_2 = {
    "a session without its start": (
        [event("session_ended")],
        f"law 2: session {UID}: started 0, ended 1, live 0",
    ),
    "a session that vanished": (
        [event("session_started")],
        f"law 2: session {UID}: started 1, ended 0, live 0",
    ),
    "a session that ended twice": (
        [event("session_started"), event("session_ended"), event("session_expired")],
        f"law 2: session {UID}: started 1, ended 2, live 0",
    ),
    "a request in a session that never was": (
        [event("interrupt_requested")],
        f"law 2: session {UID}: started 0, ended 0, live 0",
    ),
}
_STORY = [
    event("session_started"),
    event("session_ended"),
    event("stream_started", stream_id=UID),
]
LAW_3 = {
    "an interrupt without its signal": (
        [*_STORY, event("stream_finished", stream_id=UID, outcome="interrupted")],
        f"law 3: stream {UID}: wanted 1, settled 0, open 0",
    ),
    "a signal that nobody called for": (
        [*_STORY, event("stream_finished", stream_id=UID, outcome="completed"),
         event("signal_settled", stream_id=UID, outcome="delivered")],
        f"law 3: stream {UID}: wanted 0, settled 1, open 0",
    ),
    "a signal that was settled twice": (
        [*_STORY, event("stream_finished", stream_id=UID, outcome="interrupted"),
         *[event("signal_settled", stream_id=UID, outcome="delivered")] * 2],
        f"law 3: stream {UID}: wanted 1, settled 2, open 0",
    ),
}  # fmt: skip
BREACHES = LAW_1 | LAW_2 | LAW_3


@pytest.mark.parametrize(("statements", "said"), BREACHES.values(), ids=BREACHES)
async def test_each_breach_is_found(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    statements: list[str],
    said: str,
) -> None:
    await execute(database_url, *statements, "SELECT 1")

    assert await told(trail) == [said]


LIVE = {
    "law 1": ("DELETE FROM session_router.agent_streams", "finished 0, live 0"),
    "law 2": ("DELETE FROM session_router.sessions WHERE session_id = 'stopped'", "live 0"),
    "law 3": (f"DELETE FROM {EVENTS} WHERE event = 'signal_settled'", "settled 0, open 0"),
}


@pytest.mark.parametrize(("law", "statement", "said"), [(k, *v) for k, v in LIVE.items()])
async def test_what_was_deleted_by_hand_is_found(
    stories: SQLAlchemySessionRepository,
    trail: Trail,
    database_url: str,
    law: str,
    statement: str,
    said: str,
) -> None:
    await tamper(database_url, statement)

    found = await told(trail)
    assert found
    assert all(line.startswith(law) and line.endswith(said) for line in found), found


async def test_of_many_breaches_the_first_are_listed(trail: Trail, database_url: str) -> None:
    inserts = [event("session_started", session_uid=f"{n:032x}") for n in range(50)]
    uuids = [statement.replace(f"{n:032x}", _uuid(n)) for n, statement in enumerate(inserts)]
    await execute(database_url, *uuids, "SELECT 1")

    found = await told(trail)
    assert len(found) == 20
    assert found[0].startswith(f"law 2: session {_uuid(0)}")


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"
