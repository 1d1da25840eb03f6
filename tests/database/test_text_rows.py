"""Lines of text are the same on both databases, whatever stands in the rows."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert

from session_router.audit.digests import by_story, lines_of, number_of
from session_router.audit.trail import Trail
from session_router.database import migrate
from session_router.database.migrate import Target
from tests.support.by_hand import execute

UID = UUID("11111111-2222-3333-4444-555555555555")
TIMES = (
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC),
    datetime(2026, 10, 20, 0, 0, 0, 1, tzinfo=UTC),
)
TEXTS = (
    "plain",
    "tab\tand\nend\r",
    "back\\slash \\N",
    "\b\f\v\x1b\x7f",
    "ümläut ☃ \U0001f600",
    "'\"%;--",
    " ",
)


async def filled(url: str) -> list[bytes]:
    """The lines of a trail with these times and texts."""
    on = "" if url.startswith("sqlite") else " ON session_router.session_events"
    await execute(url, f"DROP TRIGGER session_events_own_time{on}", "SELECT 1")
    async with Trail.opened(url) as trail:
        rows = [
            {
                "event_id": number + 1,
                "occurred_at": TIMES[number % len(TIMES)],
                "session_id": text,
                "session_uid": UID,
                "event": "session_ended",
                "started_at": TIMES[number % len(TIMES)] if number % 2 else None,
                "actor": text,
                "detail": None,
                "erased": bool(number % 2),
            }
            for number, text in enumerate(TEXTS)
        ]
        async with trail.changing() as conn:
            await conn.execute(insert(trail.tables.session_events), rows)
        async with trail.reading() as conn:
            return await lines_of(conn, trail.tables)


async def test_both_databases_write_the_same_lines(postgres_url: str, tmp_path: Path) -> None:
    sqlite_url = f"sqlite:///{tmp_path / 'lines.db'}"
    await migrate.upgrade(Target(sqlite_url))

    lines = await filled(postgres_url)

    assert lines == await filled(sqlite_url)
    assert [number_of(line) for line in lines] == list(range(1, len(TEXTS) + 1))
    assert by_story(lines) == {str(UID): lines}
    assert lines[0].split(b"\t") == [
        *(str(UID).encode(), b"1", b"2026-01-02 03:04:05+00", b"plain", b"session_ended"),
        *(b"\\N",) * 7,
        *(b"plain", b"\\N", b"f"),
    ]


@pytest.mark.parametrize("setting", ["datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'"])
async def test_the_servers_settings_change_no_line(postgres_url: str, setting: str) -> None:
    before = await filled(postgres_url)
    name = postgres_url.rsplit("/", 1)[1].partition("?")[0]
    await execute(postgres_url, f'ALTER DATABASE "{name}" SET {setting}', "SELECT 1")
    async with Trail.opened(postgres_url) as trail, trail.reading() as conn:
        assert await lines_of(conn, trail.tables) == before
