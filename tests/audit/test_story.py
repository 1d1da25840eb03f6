"""One session's story tells how long everything lasted, in JSON and over HTTP."""

import json
from pathlib import Path

import httpx
import pytest

from session_router import SessionEvent, SessionManager, SQLAlchemySessionRepository
from session_router.http import create_app
from tests.cli.program import Program
from tests.support.trail import events


async def test_what_ends_has_its_duration(stories: SQLAlchemySessionRepository) -> None:
    for event in await events(stories):
        told = event.model_dump(mode="json")
        if event.started_at is None:
            assert told["duration_sec"] is None
        else:
            lasted = (event.occurred_at - event.started_at).total_seconds()
            assert told["duration_sec"] == event.duration_sec == lasted >= 0
        assert SessionEvent(**told) == event


async def test_http_and_the_command_line_tell_it(
    stories: SQLAlchemySessionRepository,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manager = SessionManager(stories)
    transport = httpx.ASGITransport(create_app(manager))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        items = (await client.get("/sessions/over/events")).json()["items"]
    program = Program(tmp_path, monkeypatch, capsys)
    done = await program.call("events", "over", "--json", "--database-url", database_url)

    assert done.json_lines == items
    assert {item["event"]: item["duration_sec"] is not None for item in items} == {
        "session_started": False,
        "stream_started": False,
        "stream_finished": True,
        "session_ended": True,
        "signal_settled": True,
    }
    assert json.loads(done.out.splitlines()[0])["duration_sec"] is None
