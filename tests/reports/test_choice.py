"""Which streams a report tells of, and the latest rows."""

from typing import Any

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from tests.cli.program import Program

WRITER, CRITIC = AgentId("writer", "a"), AgentId("critic", "b/c")


@pytest.fixture
def program(program: Program, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("SESSION_ROUTER_DATABASE_URL", database_url)
    return program


@pytest.fixture
async def streams(database_url: str) -> Any:
    """One of each agent in two sessions; one has ended, one was interrupted, two go on."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        for session_id in ("s", "t"):
            await manager.register_agent(session_id, WRITER)
            await manager.register_agent(session_id, CRITIC)
        await manager.unmark_agent_streaming("s", WRITER)
        await manager.interrupt_streaming_agents("t", [CRITIC], wait=10)
        yield
    await repository.close()


async def chosen(program: Program, *options: str) -> list[tuple[str, str]]:
    """Whose streams are told, by JSON as by CSV."""
    done = await program.call("report", "streams", *options, "--format", "json")
    assert done.code == 0, done.err
    csv = (await program.call("report", "streams", *options, "--format", "csv")).out.splitlines()
    assert [line.split(",")[4] for line in csv[1:]] == [row["stream_id"] for row in done.json_lines]
    return [(row["session_id"], row["agent_type"]) for row in done.json_lines]


@pytest.mark.usefixtures("streams")
async def test_streams_are_chosen_by_how_they_ended_whose_they_are_and_where(
    program: Program,
) -> None:
    assert await chosen(program, "--outcome", "interrupted") == [("t", "critic")]
    assert await chosen(program, "--live") == [("s", "critic"), ("t", "writer")]
    assert await chosen(program, "--agent", "writer") == [("s", "writer"), ("t", "writer")]
    assert await chosen(program, "--agent", "critic/b/c", "--session", "s") == [("s", "critic")]
    assert await chosen(program, "--agent", "critic/other") == []
    assert await chosen(program, "--since", "1h", "--outcome", "completed") == [("s", "writer")]


@pytest.mark.usefixtures("streams")
async def test_the_newest_come_first(program: Program) -> None:
    every = await chosen(program)
    assert await chosen(program, "--newest", "3") == every[:0:-1]
    assert await chosen(program, "--newest", "1", "--agent", "critic") == [("t", "critic")]
    newest = await program.call("report", "sessions", "--newest", "1", "--format", "json")
    assert [row["session_id"] for row in newest.json_lines] == ["t"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("sessions", "--live"), "'streams'"),
        (("streams", "--outcome", "fine"), "give one of completed"),
        (("streams", "--outcome", "failed", "--live"), "no outcome"),
        (("streams", "--agent", "no type"), "type"),
        (("streams", "--session", ""), "session_id"),
        (("live", "--newest", "3"), "newest"),
        (("streams", "--newest", "3", "--limit", "3"), "instead of"),
    ],
    ids=str,
)
def test_what_cannot_be_chosen_is_refused(
    program: Program, options: tuple[str, ...], said: str
) -> None:
    done = program("report", *options)
    assert done.code == 2
    assert said in done.err
