"""The picture of `session-router top`, made of values: it fits, and hides nothing that matters."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from rich.cells import cell_len

from session_router import AgentId
from session_router.cli.top.picture import Away, Line, Look, Style, picture, whole_picture
from session_router.cli.top.table import Column, fitted, lines_of, name_column
from session_router.cli.top.view import View, json_of
from session_router.repository.records import NO_WORKER
from session_router.watch.records import (
    Deliveries,
    Overview,
    StopLine,
    StreamLine,
    StreamPage,
    WorkerLine,
)
from tests.http.ids import HOSTILE_IDS

NOW = datetime(2026, 11, 26, 21, 0, tzinfo=UTC)
NAMES = ["chat-1", "tenant-42:" + "x" * 200, "会话-東京", "evil\x1b[2J\n\u202e", *HOSTILE_IDS]
QUIET = Overview(NOW, 5, 3, 1, 0, None, 0, None, None, None)
WORKER = WorkerLine(
    uuid4(), "box-1", 4711, NOW - timedelta(hours=3), timedelta(seconds=2), timedelta(seconds=28),
    streams=3, wake_ups="listening", version="0.2.0",
)  # fmt: skip
LOST = WorkerLine(
    uuid4(), "box-2", 12, NOW - timedelta(hours=1), timedelta(seconds=45), timedelta(0),
    streams=0, wake_ups=None, version=None,
)  # fmt: skip


def stream(session_id: str = "chat-1", **given: object) -> StreamLine:
    told = {
        "agent_id": AgentId("writer", "a"), "stream_id": uuid4(), "worker_id": WORKER.worker_id,
        "started_at": NOW - timedelta(seconds=90), "touched_at": NOW - timedelta(seconds=3),
    } | given  # fmt: skip
    return StreamLine(session_id, **told)  # type: ignore[arg-type]


def view(*lines: StreamLine, overview: Overview = QUIET, owed: int = 0, dead: int = 0) -> View:
    page = StreamPage(NOW, list(lines), None)
    return View(overview, Deliveries(owed, dead), [WORKER], page, "")


def shown(of: View, look: Look | None = None, width: int = 100, height: int = 30) -> list[Line]:
    return picture(of, look or Look("sqlite:///x.db"), width, height)


def with_text(lines: list[Line], text: str) -> Line:
    [found] = [line for line in lines if text in line.text]
    return found


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 20, 8, 1])
@pytest.mark.parametrize("height", [60, 24, 10, 3, 1])
def test_a_picture_has_the_terminals_size_whatever_the_names_are(width: int, height: int) -> None:
    lines = [
        stream(name, agent_id=AgentId("writer", name), owner=name, worker_id=NO_WORKER)
        for name in NAMES
    ]
    look = Look("sqlite:///" + "x" * 300, lines[-1].stream_id, "below " * 50)

    found = shown(view(*lines), look, width, height)

    assert len(found) == height
    assert max(cell_len(line.text) for line in found) <= width
    assert all(line.text.isprintable() for line in found)


def test_the_chosen_stream_is_in_the_picture_with_its_whole_names() -> None:
    lines = [stream(f"chat-{number}") for number in range(100)]
    for line in (lines[0], lines[50], lines[99]):
        found = shown(view(*lines), Look("x", line.stream_id), 80, 24)
        [chosen] = [each for each in found if each.style is Style.CHOSEN]
        assert chosen.text.startswith(f"> {line.session_id} ")
        assert found[-2].text == f"> writer/a in {line.session_id}"


def test_what_needs_somebody_stands_out() -> None:
    signals = Overview(NOW, 5, 3, 2, 7, NOW - timedelta(minutes=2), 4, NOW, 3, NOW)
    of = view(stream(), overview=signals, owed=12, dead=1)
    of.workers.append(LOST)
    quiet = [line.style for line in shown(view(stream()))]
    found = shown(of, Look("x", away=Away(NOW, "check the server")))

    assert Style.ALARM not in quiet
    for text in (
        *("7 open, the oldest for 2 min 00 s", "12 owed, 1 given up", "3 VIOLATIONS"),
        *("LOST", "No answer from the database since 21:00:00 UTC", "check the server"),
    ):
        assert with_text(found, text).style is Style.ALARM, text
    assert "sessions 5 (4 expired)" in "\n".join(line.text for line in found)


def test_workers_that_are_lost_come_first_and_others_are_counted() -> None:
    of = view(overview=Overview(NOW, 0, 0, 90, 0, None, 0, None, None, None))
    of.workers.extend([WORKER] * 88)
    of.workers.append(LOST)

    found = [line.text for line in shown(of, height=24)]

    rows = [line for line in found if line.startswith("box-")]
    assert rows[0].startswith("box-2")
    assert f"... and {90 - len(rows)} more" in found
    assert "none" in found  # streams


def test_a_stop_tells_what_became_of_it() -> None:
    asked = NOW - timedelta(seconds=20)
    told = StopLine(asked, asked, "failed", "the source did not close", "ann", "top")
    waits = StopLine(asked, None, None, None, "ann", "top")
    failed, waiting = stream("chat-1", stop=told), stream("chat-2", stop=waits)

    found = shown(view(failed, waiting), Look("x", failed.stream_id))

    assert with_text(found, "stop failed").text.startswith("> chat-1")
    assert "1 min 10 s" in with_text(found, "stop failed").text
    assert with_text(found, "stop open for 20 s").text.startswith("  chat-2")
    assert found[-2].text == "> writer/a in chat-1: the source did not close"


def test_what_is_printed_once_has_everything() -> None:
    lines = [stream("x" * 300), *(stream(f"chat-{number}") for number in range(150))]

    found = whole_picture(view(*lines), Look("x"), None)

    assert any("x" * 300 in line for line in found)
    assert sum("chat-" in line for line in found) == 150


def test_json_tells_the_same() -> None:
    told = json_of(view(stream("会话", owner="acme"), owed=2))

    assert told["hooks_owed"] == 2
    [line] = told["stream_list"]
    assert (line["session_id"], line["owner"], line["stop"]) == ("会话", "acme", None)
    assert line["touched_at"] == "2026-11-26T20:59:57Z"
    assert UUID(told["worker_list"][0]["worker_id"]) == WORKER.worker_id


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 8, "short   "),
        ("tenant-42:conversation-17", 15, "tenant-…tion-17"),
        ("会话-東京-0001", 9, "会话…0001"),
        ("会话会话", 5, "会…话"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_what_is_too_long_loses_its_middle(text: str, width: int, shown: str) -> None:
    assert fitted(text, width) == shown
    assert cell_len(shown) == width


def test_columns_of_a_higher_rank_give_way_first() -> None:
    columns = (
        name_column("session", ["s" * 20]),
        name_column("owner", ["o" * 20], rank=1),
        Column("age", ["5 s"], is_number=True),
        Column("empty", [""]),
    )

    assert lines_of(columns, None)[0].split() == ["session", "owner", "age"]
    assert lines_of(columns, 40)[1] == f"{'s' * 20}  oooooo…oooooo  5 s"
    assert lines_of(columns, 24)[0].split() == ["session", "owner", "age"]
    assert lines_of(columns, 18)[0].split() == ["session", "age"]
