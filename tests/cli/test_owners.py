"""`--owner`: keys, sessions and reports of one owner."""

import pytest

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.access import Keys
from tests.cli.program import Program
from tests.cli.test_sessions import program
from tests.support.trail import events

__all__ = ["program"]

WRITER = AgentId("writer", "alice")


@pytest.fixture
async def sessions(database_url: str) -> None:
    """Two of acme's, one of another owner, one of nobody's; an agent streams in each."""
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        for name, owner in (("a1", "acme"), ("a2", "acme"), ("o1", "other"), ("n1", None)):
            await manager.start_session(name, owner=owner)
    await repository.close()


async def test_a_key_may_be_for_one_owner(program: Program, database_url: str) -> None:
    made = await program.call("keys", "create", "acmes", "--scope", "read", "--owner", "acme")
    refused = await program.call("keys", "create", "acmes", "--scope", "read", "--owner", "")
    listed = await program.call("keys", "list")
    assert (made.code, refused.code) == (0, 2)
    assert [row[3] for row in listed.rows] == ["acme"]
    assert (await program.call("keys", "list", "--json")).json["owner"] == "acme"
    async with Keys.opened(database_url) as keys:
        assert [key.owner for key in await keys.all()] == ["acme"]


@pytest.mark.usefixtures("sessions")
async def test_sessions_are_listed_and_shown_by_owner(program: Program) -> None:
    listed = await program.call("sessions", "list", "--owner", "acme")
    all_of_them = await program.call("sessions", "list", "--json")
    shown = await program.call("sessions", "show", "a1")
    assert [(row[0], row[-1]) for row in listed.rows] == [("a1", "acme"), ("a2", "acme")]
    assert [line["owner"] for line in all_of_them.json_lines] == ["acme", "acme", None, "other"]
    assert "owner         acme" in shown.out


@pytest.mark.usefixtures("sessions")
async def test_all_of_an_owner_are_ended_when_somebody_is_sure(
    program: Program, database_url: str
) -> None:
    unsure = await program.call("sessions", "end", "--owner", "acme")
    nameless = await program.call("sessions", "end")
    foreign = await program.call("sessions", "end", "o1", "--owner", "acme")
    done = await program.call("sessions", "end", "--owner", "acme", "--yes", "--actor", "ann")
    assert (unsure.code, nameless.code, foreign.code) == (2, 2, 1)
    assert "--yes" in unsure.err
    assert done.out == "ended 2 sessions of acme\n"
    listed = await program.call("sessions", "list")
    assert [row[0] for row in listed.rows] == ["n1", "o1"]
    repository = SQLAlchemySessionRepository.from_url(database_url)
    ends = await events(repository, "session_ended")
    await repository.close()
    assert [(end.session_id, end.actor) for end in ends] == [("a1", "ann"), ("a2", "ann")]


@pytest.mark.usefixtures("sessions")
async def test_streams_are_interrupted_by_owner(program: Program, database_url: str) -> None:
    repository = SQLAlchemySessionRepository.from_url(database_url)
    async with SessionManager(repository) as manager:
        for name in ("a1", "a2", "o1"):
            await manager.register_agent(name, WRITER)
        foreign = await program.call("sessions", "interrupt", "o1", "--owner", "acme")
        counted = await program.call(
            *("sessions", "interrupt", "--all", "--owner", "acme", "--dry-run", "--json")
        )
        stopped = await program.call(
            *("sessions", "interrupt", "--all", "--owner", "acme", "--yes", "--json")
        )
    await repository.close()
    assert foreign.code == 1
    assert (counted.json["sessions"], counted.json["streams"]) == (2, 2)
    assert (stopped.json["sessions"], stopped.json["streams"]) == (2, 2)


@pytest.mark.usefixtures("sessions")
async def test_all_that_an_owner_had_is_erased_with_one_receipt(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_ROUTER_ERASURE_KEY", "k" * 32)
    both = await program.call("sessions", "erase", "a1", "--owner", "acme")
    receipt = await program.call("sessions", "erase", "--owner", "acme", "--json")
    again = await program.call("sessions", "erase", "--owner", "acme")
    assert (both.code, again.code) == (2, 1)
    assert "nothing is known of an owner 'acme'" in again.err
    assert (receipt.json["owner"], receipt.json["sessions"], receipt.json["ended"]) == (
        *("acme", 2),
        2,
    )
    shown = await program.call("sessions", "erase", "--owner", "other")
    assert "all of other" in shown.out
    left = await program.call("sessions", "list")
    assert [row[0] for row in left.rows] == ["n1"]


@pytest.mark.usefixtures("sessions")
async def test_reports_tell_whose(program: Program) -> None:
    sessions = (await program.call("report", "sessions", "--format", "json")).out
    activity = (await program.call("report", "activity", "--format", "json")).out
    assert '"owner": "acme"' in sessions or '"owner":"acme"' in sessions
    assert '"owner": "other"' in activity or '"owner":"other"' in activity
