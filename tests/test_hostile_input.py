"""Input that means harm or mischief: refused before any I/O, or kept exactly as it came."""

import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_router import (
    AgentId,
    InvalidAgentIdError,
    InvalidSessionIdError,
    InvalidValueError,
    Session,
    SessionManager,
    SessionRepository,
    SQLAlchemySessionRepository,
)
from session_router.settings import Tuning
from tests.support.laws import contents, violations
from tests.support.runtimes import ForeignId, Runtime
from tests.support.sources import Source, hang
from tests.support.trail import events

A = AgentId("writer", "a")

BAD_SESSION_IDS: list[Any] = [
    "",
    "x" * 256,
    "\N{GRINNING FACE}" * 256,
    "a\0b",
    "\0",
    "\ud800",
    "a\udfffb",
    None,
    5,
    b"s",
    ["s"],
    True,
    object(),
]
BAD_AGENTS: list[Any] = [
    ForeignId("", "a"),
    ForeignId("two words", "a"),
    ForeignId("a/b", "a"),
    ForeignId("é", "a"),
    ForeignId("a\n", "a"),
    ForeignId("x" * 256, "a"),
    ForeignId("writer", ""),
    ForeignId("writer", "x" * 256),
    ForeignId("writer", "a\0"),
    ForeignId("writer", "\udc80"),
    ForeignId("writer", None),  # type: ignore[arg-type]
    ForeignId(5, "a"),  # type: ignore[arg-type]
    "writer/a",
    None,
    5,
    {"type": "writer", "key": "a"},
]

Call = Callable[[SessionManager, Any], Awaitable[object]]

TAKING_A_SESSION_ID: dict[str, Call] = {
    "start_session": lambda m, bad: m.start_session(bad),
    "start_new_session": lambda m, bad: m.start_new_session(bad),
    "get_session": lambda m, bad: m.get_session(bad),
    "register_agent": lambda m, bad: m.register_agent(bad, A),
    "unmark_agent_streaming": lambda m, bad: m.unmark_agent_streaming(bad, A),
    "interrupt_streaming_agents": lambda m, bad: m.interrupt_streaming_agents(bad),
    "interrupt_streaming_agents of some": lambda m, bad: m.interrupt_streaming_agents(bad, [A]),
    "end_session": lambda m, bad: m.end_session(bad),
    "stream": lambda m, bad: anext(m.stream(bad, A, Source("one"))),
    "repository.get_session": lambda m, bad: m.repository.get_session(bad),
    "repository.delete_session": lambda m, bad: m.repository.delete_session(bad),
    "repository.save_session": lambda m, bad: m.repository.save_session(
        Session.model_construct(session_id=bad)
    ),
}
TAKING_AN_AGENT: dict[str, Call] = {
    "register_agent": lambda m, bad: m.register_agent("s", bad),
    "unmark_agent_streaming": lambda m, bad: m.unmark_agent_streaming("s", bad),
    "unmark_agent_streaming by id": lambda m, bad: m.unmark_agent_streaming("s", bad, uuid4()),
    "interrupt_streaming_agents": lambda m, bad: m.interrupt_streaming_agents("s", [A, bad]),
    "stream": lambda m, bad: anext(m.stream("s", bad, Source("one"))),
}
TAKING_MORE: dict[str, Call] = {
    "stream_id": lambda m, bad: m.unmark_agent_streaming("s", A, bad),
    "actor of an interrupt": lambda m, bad: m.interrupt_streaming_agents("s", actor=bad),
    "reason of an interrupt": lambda m, bad: m.interrupt_streaming_agents("s", reason=bad),
    "actor of an end": lambda m, bad: m.end_session("s", actor=bad),
    "reason of an end": lambda m, bad: m.end_session("s", reason=bad),
}
BAD_TEXTS: list[Any] = ["x" * 2_001, "a\0b", "\ud800", 5, b"bytes", ["a"]]


@pytest.fixture
def manager_without_a_database() -> SessionManager:
    """Any I/O of its fails: nobody listens there."""
    return SessionManager(
        SQLAlchemySessionRepository.from_url("postgresql://nobody:nothing@127.0.0.1:1/none")
    )


@pytest.mark.parametrize("name", TAKING_A_SESSION_ID)
async def test_a_bad_session_id_is_refused_before_any_io(
    manager_without_a_database: SessionManager, name: str
) -> None:
    for bad in BAD_SESSION_IDS:
        with pytest.raises(InvalidSessionIdError, match="session_id"):
            await TAKING_A_SESSION_ID[name](manager_without_a_database, bad)


@pytest.mark.parametrize("name", TAKING_AN_AGENT)
async def test_a_bad_agent_is_refused_before_any_io(
    manager_without_a_database: SessionManager, name: str
) -> None:
    for bad in BAD_AGENTS:
        with pytest.raises(InvalidAgentIdError):
            await TAKING_AN_AGENT[name](manager_without_a_database, bad)


@pytest.mark.parametrize("name", TAKING_MORE)
async def test_other_bad_values_are_refused_before_any_io(
    manager_without_a_database: SessionManager, name: str
) -> None:
    for bad in BAD_TEXTS:
        with pytest.raises(InvalidValueError, match=name.split(maxsplit=1)[0]):
            await TAKING_MORE[name](manager_without_a_database, bad)


async def test_what_is_refused_is_named_in_one_short_printable_line(
    manager_without_a_database: SessionManager,
) -> None:
    for bad in ("x" * 1_000_000, "a\0b\x1b[2J\n\u202e", "\ud800"):
        with pytest.raises(ValueError, match="session_id") as raised:
            await manager_without_a_database.start_session(bad)
        said = str(raised.value)
        assert said.isascii()
        assert said.isprintable()
        assert len(said) < 200


async def test_what_is_refused_writes_nothing(repository: SessionRepository) -> None:
    manager = SessionManager(repository)
    await manager.register_agent("s", A)
    before = await contents(repository)
    calls = [(call, BAD_SESSION_IDS) for call in TAKING_A_SESSION_ID.values()]
    calls += [(call, BAD_AGENTS) for call in TAKING_AN_AGENT.values()]
    calls += [(call, BAD_TEXTS) for call in TAKING_MORE.values()]
    for call, values in calls:
        for bad in values:
            with pytest.raises(InvalidValueError):
                await call(manager, bad)
    assert await contents(repository) == before
    await manager.shutdown()


def _incompressible() -> str:
    """The most bytes that 255 characters can have, in no order that an index could shorten."""
    return "".join(map(chr, random.Random(1).sample(range(0x10000, 0x10FFFF), 255)))  # noqa: S311


HOSTILE_IDS = [
    "'; DROP TABLE sessions; --",
    '"',
    "'",
    "''",
    "`",
    "\\",
    "\\'",
    "%",
    "%s %(id)s %%",
    ":session_id",
    "$1",
    "?",
    "{0}",
    "{'a': 1}",
    '["a", "b"]',
    "NULL",
    "None",
    "a/b",
    "/",
    "//",
    ".",
    "..",
    "../../etc/passwd",
    "a%2Fevents",
    "a/events",
    " ",
    "a ",
    " a",
    "a",
    "A",
    "\t",
    "\n",
    "a\r\nb",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\u200b",
    "\u202etxt.exe",
    "שלום",
    "é",
    "e\u0301",
    "ß",
    "ﬁ",
    "\uffff",
    "\N{GRINNING FACE}",
    "\N{FAMILY}\u200d\N{GIRL}",
    "\N{GRINNING FACE}" * 255,
    "x" * 255,
    _incompressible(),
]


async def test_hostile_ids_live_side_by_side_and_come_back_unchanged(
    repository: SessionRepository,
) -> None:
    manager = SessionManager(repository, Runtime(), tuning=Tuning(poll_interval_sec=3_600))
    agents = {AgentId("x" * 255, hostile) for hostile in HOSTILE_IDS}
    for hostile in HOSTILE_IDS:
        await manager.register_agent(hostile, AgentId("x" * 255, hostile))
    await repository.save_session(Session(session_id="all", agents_streaming=agents))

    listed = await repository.list_sessions(limit=1_000)
    assert [session.session_id for session in listed] == sorted([*HOSTILE_IDS, "all"])
    crowded = await repository.find_session("all")
    assert crowded is not None
    assert crowded.agents_streaming == agents
    rows = await repository.list_streams("all")
    assert [row.agent_id for row in rows] == sorted(agents)

    for hostile in HOSTILE_IDS:
        agent = AgentId("x" * 255, hostile)
        session = await manager.get_session(hostile)
        assert session is not None
        assert (session.session_id, session.agents_streaming) == (hostile, {agent})
        assert await manager.interrupt_streaming_agents(hostile, [agent], actor=hostile) == [agent]
        assert await manager.end_session(hostile, reason=hostile) is True
        told = await events(repository, session_id=hostile)
        assert {event.session_id for event in told} == {hostile}
        assert {event.agent_id for event in told} == {None, agent}
        assert [told[2].actor, told[-1].detail] == [hostile, hostile]
    left = await repository.list_sessions()
    assert [session.session_id for session in left] == ["all"]
    await manager.shutdown()
    assert await violations(repository) == []


anything = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(session_id=anything, key=anything)
async def test_any_text_that_is_allowed_is_kept_as_it_came(
    repository: SessionRepository, session_id: str, key: str
) -> None:
    manager = SessionManager(repository, Runtime(), tuning=Tuning(poll_interval_sec=3_600))
    agent = AgentId("writer", key)
    await manager.start_new_session(session_id)
    stream = manager.stream(session_id, agent, Source("one", then=hang))
    assert await anext(stream) == "one"
    session = await manager.get_session(session_id)
    assert session is not None
    assert (session.session_id, session.agents_streaming) == (session_id, {agent})
    assert await manager.interrupt_streaming_agents(session_id) == [agent]
    await manager.shutdown()
    assert await violations(repository) == []
