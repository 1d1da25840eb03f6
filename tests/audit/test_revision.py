"""The revision that brings the audit keeps the trail as it is, up and down."""

from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.by_hand import execute

EVENTS = "session_router.session_events"
COLUMNS = "event_id, session_id, session_uid, event, actor"
UID = "11111111-1111-1111-1111-111111111111"


def insert(event: str, session_id: str) -> str:
    return (
        f"INSERT INTO {EVENTS} (session_id, session_uid, event, actor) "
        f"VALUES ('{session_id}', '{UID}', '{event}', NULL)"
    )


async def rows(url: str) -> list[tuple[object, ...]]:
    found = await execute(url, f"SELECT {COLUMNS} FROM {EVENTS} ORDER BY event_id")
    return [tuple(map(str, row)) for row in found]


async def test_rows_and_numbers_outlast_the_way_up_and_down(database_url: str) -> None:
    target = Target(database_url)
    await migrate.downgrade(target, "0001")
    await execute(
        database_url,
        *(insert("session_started", name) for name in ("a", "b", "c")),
        f"DELETE FROM {EVENTS} WHERE session_id = 'c'",
        "SELECT 1",
    )
    before = await rows(database_url)

    await migrate.upgrade(target, "0003")
    assert await rows(database_url) == before
    await execute(database_url, insert("session_erased", "d"), "SELECT 1")
    assert [row[0] for row in await rows(database_url)] == ["1", "2", "4"]

    await migrate.downgrade(target, "0001", discard_audit=True)
    *kept, started, ended = await rows(database_url)
    assert kept == before
    assert (started[1], ended[1]) == ("audit-discarded", "audit-discarded")
    await execute(database_url, insert("session_started", "e"), "SELECT 1")
    assert [row[0] for row in await rows(database_url)] == ["1", "2", "5", "6", "7"]


async def test_a_revision_that_was_killed_halfway_can_be_run_again(postgres_url: str) -> None:
    target = Target(postgres_url)
    await migrate.downgrade(target, "0001")
    await execute(
        postgres_url,
        f"ALTER TABLE {EVENTS} DROP CONSTRAINT session_events_event_check",
        f"ALTER TABLE {EVENTS} ADD CONSTRAINT session_events_event_check CHECK (true) NOT VALID",
        "SELECT 1",
    )

    await migrate.upgrade(target)

    assert await migrate.check(target) == []
