"""The published interface: every name, parameter and default, and code that relies on them."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from session_router import (
    AgentId,
    InMemorySessionRepository,
    Session,
    SessionManager,
    SessionRepository,
)
from tests.support.runtimes import Runtime

A, B = AgentId("writer", "a"), AgentId("writer", "b")


async def test_code_written_for_the_original_runs_unchanged(repository: SessionRepository) -> None:
    runtime = Runtime()
    manager = SessionManager(repository, runtime, 30, 60)
    await manager.start()
    session = await manager.start_session("s")
    assert session.agents_streaming == set()
    await manager.register_agent("s", A)
    await manager.register_agent(session_id="s", agent_id=B)
    await manager.unmark_agent_streaming("s", B)
    assert (await manager.repository.get_session("s")).agents_streaming == {A}  # type: ignore[union-attr]
    await manager.interrupt_streaming_agents(session_id="s")
    found = await manager.get_session("s")
    assert found is not None
    assert found.agents_streaming == set()
    fresh = await manager.start_new_session("s")
    assert fresh.start_time > session.start_time
    await manager.expire_old_sessions()
    await manager.end_session("s")
    await manager.shutdown()
    assert runtime.cancels("a") == 1


REQUIRED = inspect.Parameter.empty
PUBLISHED: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (
        SessionManager.__init__,
        {
            "repository": REQUIRED,
            "agent_runtime": None,
            "session_timeout_minutes": 30,
            "cleanup_interval_sec": 60,
        },
    ),
    (SessionManager.start, {}),
    (SessionManager.shutdown, {}),
    (SessionManager.start_session, {"session_id": REQUIRED}),
    (SessionManager.start_new_session, {"session_id": REQUIRED}),
    (SessionManager.get_session, {"session_id": REQUIRED}),
    (SessionManager.register_agent, {"session_id": REQUIRED, "agent_id": REQUIRED}),
    (SessionManager.interrupt_streaming_agents, {"session_id": REQUIRED}),
    (SessionManager.unmark_agent_streaming, {"session_id": REQUIRED, "agent_id": REQUIRED}),
    (SessionManager.expire_old_sessions, {}),
    (SessionManager.end_session, {"session_id": REQUIRED}),
    (Session.touch, {}),
    (Session.mark_agent_streaming, {"agent_id": REQUIRED}),
    (Session.unmark_agent_streaming, {"agent_id": REQUIRED}),
    (Session.end_session, {}),
    (InMemorySessionRepository, {}),
    (InMemorySessionRepository.save_session, {"session": REQUIRED}),
    (InMemorySessionRepository.get_session, {"session_id": REQUIRED}),
    (InMemorySessionRepository.delete_session, {"session_id": REQUIRED}),
]


@pytest.mark.parametrize(
    ("method", "published"), PUBLISHED, ids=[method.__qualname__ for method, _ in PUBLISHED]
)
def test_published_parameters_come_first_with_their_defaults_and_the_rest_is_optional(
    method: Callable[..., Any], published: dict[str, Any]
) -> None:
    parameters = [p for p in inspect.signature(method).parameters.values() if p.name != "self"]
    ours = {p.name: p.default for p in parameters[: len(published)]}
    assert list(ours.items()) == list(published.items())
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters[: len(published)])
    assert all(p.default is not REQUIRED for p in parameters[len(published) :])


def test_every_published_method_that_was_a_coroutine_is_one() -> None:
    for method, _ in PUBLISHED:
        owner, _, name = method.__qualname__.partition(".")
        expected = owner != "Session" and name not in ("", "__init__")
        assert inspect.iscoroutinefunction(method) == expected, method.__qualname__


def test_a_session_has_the_published_fields() -> None:
    assert list(Session.model_fields)[:4] == [
        "session_id",
        "start_time",
        "last_updated",
        "agents_streaming",
    ]
    assert [name for name, field in Session.model_fields.items() if field.is_required()] == [
        "session_id"
    ]
    assert Session.model_config.get("arbitrary_types_allowed") is True
    assert issubclass(InMemorySessionRepository, SessionRepository)
