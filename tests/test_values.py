"""Values: agent ids and sessions."""

import copy
import pickle
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import autogen_core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from session_router import AgentId, InvalidAgentIdError, Session, SessionEvent
from session_router.database.schema import build_tables
from session_router.repository.records import EventRow, SessionRow
from session_router.session import SESSION_COLUMNS


class Kind(StrEnum):
    WRITER = "writer"


class NamedId(AgentId):
    """An application's own kind of our id."""


@dataclass(frozen=True)
class Alike:
    type: str
    key: str


@pytest.mark.parametrize("agent_type", ["a", "A-Z_0.9", ".", "..", "-", "x" * 255, Kind.WRITER])
@pytest.mark.parametrize("key", ["a", "a/b", "/", " ", "\n", "é", "\N{GRINNING FACE}" * 255])
def test_an_agent_id_is_written_and_read_back(agent_type: str, key: str) -> None:
    agent_id = AgentId(agent_type, key)
    assert AgentId.from_str(str(agent_id)) == agent_id
    assert (agent_id.type, agent_id.key) == (agent_type, key)


@pytest.mark.parametrize(
    ("agent_type", "key"),
    [
        *(
            (bad, "a")
            for bad in ("", "a b", "a/b", "é", "a\n", "a\0", "x" * 256, "٣", None, 5, b"a")
        ),
        *(("writer", bad) for bad in ("", "a\0b", "\ud800", "x" * 256, None, 5, b"a", ["a"])),
    ],
)
def test_an_unacceptable_agent_id_is_refused(agent_type: Any, key: Any) -> None:
    with pytest.raises(InvalidAgentIdError):
        AgentId(agent_type, key)
    with pytest.raises(ValueError, match="agent"):
        AgentId.of(Alike(agent_type, key))


@pytest.mark.parametrize("text", ["", "/", "writer", "writer/", "/a", "a b/c", "é/c", None, 5])
def test_text_that_is_no_agent_id_is_refused(text: Any) -> None:
    with pytest.raises(InvalidAgentIdError):
        AgentId.from_str(text)


def test_the_first_slash_parts_type_and_key() -> None:
    assert AgentId.from_str("writer/a/b") == AgentId("writer", "a/b")


def test_agent_ids_are_equal_by_type_and_key_and_only_among_themselves() -> None:
    one = AgentId("writer", "a")
    assert one == AgentId("writer", "a")
    assert hash(one) == hash(AgentId("writer", "a"))
    assert len({one, AgentId("writer", "b"), AgentId("critic", "a"), AgentId("writer", "a")}) == 3
    others: list[object] = ["writer/a", ("writer", "a"), Alike("writer", "a"), None]
    assert one not in others


def test_agent_ids_are_ordered_by_type_then_key() -> None:
    ids = [AgentId(*text) for text in ("b1", "a2", "a1", "B1", "aé")]
    assert [str(agent_id) for agent_id in sorted(ids)] == ["B/1", "a/1", "a/2", "a/é", "b/1"]


def test_an_agent_id_is_fixed_and_can_be_copied_and_pickled() -> None:
    agent_id = AgentId("writer", "a")
    with pytest.raises(AttributeError):
        agent_id.key = "b"  # type: ignore[misc]
    assert copy.deepcopy(agent_id) == pickle.loads(pickle.dumps(agent_id)) == agent_id  # noqa: S301


@pytest.mark.parametrize(
    "foreign",
    [
        autogen_core.AgentId("writer", "a"),
        autogen_core.AgentId(autogen_core.AgentType("writer"), "a"),
        Alike("writer", "a"),
        NamedId("writer", "a"),
    ],
)
def test_any_librarys_agent_id_is_taken_by_its_parts(foreign: Any) -> None:
    assert AgentId.of(foreign) == AgentId("writer", "a")
    assert AgentId(autogen_core.AgentType("writer"), "a") == AgentId("writer", "a")  # type: ignore[arg-type]
    assert Session(session_id="s", agents_streaming={foreign}).agents_streaming == {
        AgentId("writer", "a")
    }


@pytest.mark.parametrize("thing", [None, "writer/a", 5, ("writer", "a"), object()])
def test_what_has_no_type_and_key_is_no_agent_id(thing: Any) -> None:
    with pytest.raises(InvalidAgentIdError, match="no agent id"):
        AgentId.of(thing)


def test_an_agent_id_is_text_in_json() -> None:
    adapter = TypeAdapter(AgentId)
    assert adapter.dump_json(AgentId("writer", "a")) == b'"writer/a"'
    assert adapter.validate_json('"writer/a/b"') == AgentId("writer", "a/b")
    with pytest.raises(ValidationError, match="slash"):
        adapter.validate_json('"writer"')
    assert adapter.json_schema()["type"] == "string"


def test_a_sessions_agents_are_sorted_text_in_json() -> None:
    ids = {AgentId("writer", key) for key in "cab"} | {AgentId("critic", "z")}
    session = Session(session_id="s", agents_streaming=ids)
    dumped = session.model_dump(mode="json")
    assert dumped["agents_streaming"] == ["critic/z", "writer/a", "writer/b", "writer/c"]
    assert session.model_dump()["agents_streaming"] == ids


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.timezones())  # noqa: DTZ001
ids = st.builds(AgentId, st.from_regex(r"[A-Za-z0-9_.\-]{1,9}", fullmatch=True), names)


@settings(deadline=None)
@given(names.filter(lambda name: len(name) < 256), moments, moments, st.sets(ids, max_size=3))
def test_a_session_round_trips_through_json(
    session_id: str, start: datetime, last: datetime, agents: set[AgentId]
) -> None:
    session = Session(
        session_id=session_id, start_time=start, last_updated=last, agents_streaming=agents
    )
    assert Session.model_validate_json(session.model_dump_json()) == session
    assert Session.model_validate(session.model_dump(mode="json")) == session
    assert session.start_time == start.astimezone(UTC)
    assert session.start_time.tzinfo is session.last_updated.tzinfo is UTC


@pytest.mark.parametrize("session_id", ["", "x" * 256, "a\0b", "\udcff", None, 5])
def test_a_session_without_a_proper_id_is_refused(session_id: Any) -> None:
    with pytest.raises(ValueError, match="session_id"):
        Session(session_id=session_id)


def test_a_new_snapshot_begins_now_and_is_touched_and_ended_by_hand() -> None:
    before = datetime.now(UTC)
    session = Session(session_id="s")
    assert before <= session.start_time <= session.last_updated <= datetime.now(UTC)
    session.mark_agent_streaming(autogen_core.AgentId("writer", "a"))
    session.mark_agent_streaming(AgentId("writer", "b"))
    session.unmark_agent_streaming(Alike("writer", "b"))
    session.unmark_agent_streaming(Alike("writer", "unknown"))
    assert session.agents_streaming == {AgentId("writer", "a")}
    touched = session.last_updated
    session.end_session()
    assert session.agents_streaming == set()
    assert session.last_updated >= touched


def test_an_event_has_the_same_columns_as_a_value_in_its_table_and_as_published() -> None:
    unnumbered = [field.name for field in fields(EventRow)]
    assert [*SessionEvent.model_fields] == ["event_id", *unnumbered]
    columns = build_tables(None).session_events.columns.keys()
    assert columns == [*SessionEvent.model_fields, "erased"]


def test_a_session_has_the_same_columns_as_a_value_in_its_table_and_as_published() -> None:
    row = [field.name for field in fields(SessionRow)]
    assert sorted(build_tables(None).sessions.columns.keys()) == sorted(row)
    assert {*SESSION_COLUMNS} < {*row}
