"""`session-router sessions interrupt` of one stream and of all, and lists narrowed down."""

from uuid import uuid4

import pytest

from session_router import AgentId, SessionManager, SessionRepository
from tests.cli.program import Program
from tests.cli.test_sessions import program, repository, worker
from tests.support.trail import events

__all__ = ["program", "repository", "worker"]

WRITER, CRITIC = AgentId("writer", "a"), AgentId("critic", "b")
NAME = "8d8ac610-566d-4ef0-9c22-186b2a5ed793"


async def test_exactly_one_stream_is_stopped(
    program: Program, worker: SessionManager, repository: SessionRepository
) -> None:
    await worker.register_agent("s", WRITER, stream_id=NAME)
    await worker.register_agent("s", CRITIC)

    ahead = await program.call("sessions", "interrupt", "t", "--stream", str(uuid4()))
    stopped = await program.call("sessions", "interrupt", "s", "--stream", NAME)
    again = await program.call("sessions", "interrupt", "s", "--stream", NAME, "--json")

    assert (stopped.code, stopped.rows) == (0, [["writer/a", "delivered"]])
    assert ahead.out == "the stream has not begun; if it does within 600 s, it ends at once\n"
    assert again.json == {
        "session_id": "s", "stream_id": NAME, "found": "over", "agent_id": "writer/a",
        "outcome": None,
    }  # fmt: skip
    assert [row.agent_id for row in await repository.list_streams("s")] == [CRITIC]


async def test_what_matches_anywhere_is_counted_stopped_and_receipted(
    program: Program, worker: SessionManager, repository: SessionRepository
) -> None:
    for number in range(3):
        await worker.register_agent(f"s{number}", AgentId("writer", str(number)))
    await worker.register_agent("s0", CRITIC)
    wanted = ("sessions", "interrupt", "--all", "--agent-type", "writer", "--reason", "runs away")

    counted = await program.call(*wanted, "--dry-run")
    young = await program.call(*wanted, "--older-than", "10m", "--yes")
    done = await program.call(*wanted, "--yes", "--actor", "ann")

    assert counted.out == "would stop 3 streams in 3 sessions\n"
    assert young.out == "told 0 streams in 0 sessions to stop\n"
    assert done.out.splitlines() == [
        "told 3 streams in 3 sessions to stop",
        "delivered 3, failed 0, lost 0, open 0",
    ]
    asked = await events(repository, "interrupt_requested")
    assert {(e.actor, e.detail) for e in asked} == {("ann", "runs away")}
    assert [row.agent_id for row in await repository.list_streams("s0")] == [CRITIC]


async def test_what_was_not_stopped_is_named(program: Program, worker: SessionManager) -> None:
    await worker.start_session("s")
    idle = SessionManager(worker.repository)
    await idle.register_agent("s", WRITER)  # hosts no such agent
    done = await program.call("sessions", "interrupt", "--all", "--yes", "--json")
    assert (done.json["streams"], done.json["failed"], done.json["open"]) == (1, 1, 0)
    await idle.shutdown()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "give the SESSION_ID to interrupt, or --all"),
        (("--all",), "give --yes"),
        (("s", "--all", "--yes"), "leave out SESSION_ID"),
        (("s", "--agent-type", "writer"), "belong to --all"),
        (("s", "--dry-run"), "belong to --all"),
        (("s", "--stream", NAME, "--agent", "writer/a"), "--stream names one stream"),
        (("s", "--stream", "nobody"), "is no UUID"),
        (("--all", "--yes", "--older-than", "soon"), "--older-than 'soon' is no duration"),
        (("--all", "--yes", "--older-than", "0s"), "is no duration"),
        (("--all", "--yes", "--older-than", "9" * 30 + "d"), "is no duration"),
        (("--all", "--yes", "--worker", "nobody"), "--worker 'nobody' is no UUID"),
        (("--all", "--yes", "--agent-type", "no type"), "agent type 'no type'"),
    ],
)
async def test_options_that_do_not_go_together_stop_nothing(
    program: Program, worker: SessionManager, options: tuple[str, ...], told: str
) -> None:
    await worker.register_agent("s", WRITER)
    done = await program.call("sessions", "interrupt", *options)
    assert done.code == 2
    assert told in done.err
    assert len(await worker.repository.list_streams("s")) == 1


async def test_a_list_is_narrowed_down(program: Program, worker: SessionManager) -> None:
    await worker.start_session("chat-2")
    await worker.register_agent("chat-1", WRITER)
    await worker.start_session("other")

    async def ids(*options: str) -> list[str]:
        done = await program.call("sessions", "list", *options)
        assert done.code == 0, done.err
        return [row[0] for row in done.rows]

    assert await ids("--prefix", "chat") == ["chat-1", "chat-2"]
    assert await ids("--streaming") == ["chat-1"]
    assert await ids("--not-streaming", "--prefix", "chat") == ["chat-2"]
    assert await ids("--agent-type", "writer") == ["chat-1"]
    assert await ids("--worker", str(worker.worker_id)) == ["chat-1"]
    nobody = await program.call("sessions", "list", "--idle-for", "1h")
    assert nobody.err == "no session matches\n"
