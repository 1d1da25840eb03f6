"""Exports: every event, exactly, in each form; and the next one goes on where the last ended."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet  # type: ignore[import-untyped]

from session_router import SessionEvent, SessionManager, SQLAlchemySessionRepository
from session_router.audit import trail as trails
from session_router.audit.export import Exported, Wanted, export
from session_router.audit.formats import Format
from session_router.audit.trail import Trail
from tests.support.trail import events


def _by_the_docs() -> Callable[[str], str]:
    """How a cell of CSV is read back, as docs/audit.md says."""
    guide = (Path(__file__).parents[2] / "docs/audit.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the guide's own lines
    read: Callable[[str], str] = names["text_of"]
    return read


text_of = _by_the_docs()


async def exported(
    trail: Trail, form: Format, wanted: Wanted | None = None
) -> tuple[Exported, list[dict[str, Any]]]:
    """What an export says, and the rows that a stranger's program reads from it."""
    file = io.BytesIO()
    done = await export(trail, form, file, wanted or Wanted())
    file.seek(0)
    match form:
        case Format.JSONL:
            return done, [json.loads(line) for line in file.read().decode().splitlines()]
        case Format.PARQUET:
            return done, parquet.read_table(file).to_pylist()
        case Format.CSV:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            rows = csv.DictReader(text, strict=True)
            return done, [{k: text_of(v) or None for k, v in row.items()} for row in rows]


def models(rows: list[dict[str, Any]]) -> list[SessionEvent]:
    return [SessionEvent(**row) for row in rows]


@pytest.mark.parametrize("form", Format)
async def test_every_event_is_there_exactly(
    stories: SQLAlchemySessionRepository, trail: Trail, form: Format
) -> None:
    kept = await events(stories)

    done, rows = await exported(trail, form)

    assert models(rows) == kept
    assert (done.events, done.next_after) == (len(kept), kept[-1].event_id)


async def test_parquet_has_typed_columns_and_a_row_group_a_page(
    stories: SQLAlchemySessionRepository, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trails, "PAGE", 5)
    file = io.BytesIO()
    done = await export(trail, Format.PARQUET, file, Wanted())

    written = parquet.ParquetFile(file)
    types = {field.name: str(field.type) for field in written.schema_arrow}
    assert types["event_id"] == "int64"
    assert types["occurred_at"] == types["started_at"] == "timestamp[us, tz=UTC]"
    assert types["erased"] == "bool"
    assert written.num_row_groups == -(-done.events // 5)


@pytest.mark.parametrize("form", Format)
async def test_a_trail_without_events_is_a_file_without_rows(trail: Trail, form: Format) -> None:
    done, rows = await exported(trail, form)

    assert (done, rows) == (Exported(0, 0), [])


async def test_the_next_export_goes_on_where_the_last_one_ended(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    first, rows = await exported(trail, Format.JSONL)
    await SessionManager(stories).start_session("another")
    second, more = await exported(trail, Format.JSONL, Wanted(after=first.next_after))
    third, none = await exported(trail, Format.JSONL, Wanted(after=second.next_after))

    assert models(rows + more) == await events(stories)
    assert (third, none) == (Exported(0, second.next_after), [])


async def test_since_and_until_choose_by_time(
    stories: SQLAlchemySessionRepository, trail: Trail
) -> None:
    kept = await events(stories)
    middle = kept[len(kept) // 2].occurred_at

    _, later = await exported(trail, Format.JSONL, Wanted(since=middle))
    done, earlier = await exported(trail, Format.JSONL, Wanted(until=middle))

    assert models(later) == [event for event in kept if event.occurred_at >= middle]
    assert models(earlier) == [event for event in kept if event.occurred_at < middle]
    assert done.next_after is None
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert (await exported(trail, Format.CSV, Wanted(until=long_ago)))[1] == []


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1", "\u00a0=1"]


@pytest.mark.parametrize("text", [*FORMULAS, "a\x1b[2J", "\x9b2J", "a\rb", "\x7f", "'", "'=1"])
async def test_no_text_of_csv_is_a_formula_or_moves_a_terminal(
    repository: SQLAlchemySessionRepository, trail: Trail, text: str
) -> None:
    manager = SessionManager(repository)
    await manager.start_session(text)
    await manager.end_session(text, actor=text, reason=f"C:\\{text}")
    file = io.BytesIO()
    await export(trail, Format.CSV, file, Wanted())

    [_, row] = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    for cell, meant in ((row["session_id"], text), (row["detail"], f"C:\\{text}")):
        assert not re.match(r"\s*[=+\-@\uff1d]|[\t\r\n]", cell)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", cell)
        assert text_of(cell) == meant


@pytest.mark.parametrize("text", ["C:\\temp", "a-b=c", "a 'b'", "two\nlines", "👩‍👩‍👧 é"])
async def test_any_other_text_stands_in_csv_as_it_is(
    repository: SQLAlchemySessionRepository, trail: Trail, text: str
) -> None:
    await SessionManager(repository).start_session(text)
    file = io.BytesIO()
    await export(trail, Format.CSV, file, Wanted())

    [row] = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    assert row["session_id"] == text


_HOSTILE = [
    '"',
    '""',
    "\r\n",
    "a\nb",
    "a,b",
    "\r",
    "'",
    "\\",
    "\u2028",
    "🙂",
    " ",
    *FORMULAS,
    "'=",
    "\x1b[2J",
]
_TEXT = st.sampled_from(_HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=_TEXT, reason=_TEXT)
async def test_any_text_comes_back_as_it_was(
    repository: SQLAlchemySessionRepository, trail: Trail, name: str, reason: str
) -> None:
    before = len(await events(repository))
    manager = SessionManager(repository)
    await manager.start_session(name)
    await manager.end_session(name, actor=reason, reason=reason)
    kept = (await events(repository))[before:]

    for form in Format:
        _, rows = await exported(trail, form)
        assert models(rows[before:]) == kept


async def test_a_null_and_an_empty_text_differ_in_csv(
    repository: SQLAlchemySessionRepository, trail: Trail
) -> None:
    manager = SessionManager(repository)
    await manager.start_session("s")
    await manager.end_session("s", actor="")
    file = io.BytesIO()
    await export(trail, Format.CSV, file, Wanted())

    ended = file.getvalue().decode().splitlines()[2]
    assert ended.endswith(',"",,false')
