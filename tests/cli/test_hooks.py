"""`session-router hooks`: added, listed, given up, sent again, removed."""

import re

from session_router import SessionManager, SQLAlchemySessionRepository
from session_router.hooks import HookStore
from tests.cli.program import Program
from tests.cli.test_sessions import program

__all__ = ["program"]


async def test_a_hook_is_added_with_a_secret_that_is_shown_once_listed_and_removed(
    program: Program,
) -> None:
    added = await program.call(
        *("hooks", "add", "https://example.com/told", "--event", "session.ended"),
        *("--event", "stream.finished", "--owner", "acme"),
    )
    assert added.code == 0
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", added.out)
    listed = await program.call("hooks", "list", "--json")
    assert added.out.strip() not in listed.out
    hook = listed.json
    assert hook["hook_id"] in added.err
    assert (hook["url"], hook["owner"]) == ("https://example.com/told", "acme")
    assert hook["events"] == ["session.ended", "stream.finished"]
    [row] = (await program.call("hooks", "list")).rows
    assert row[:3] == [hook["hook_id"], hook["url"], "session.ended, stream.finished"]
    assert (await program.call("hooks", "remove", hook["hook_id"])).code == 0
    again = await program.call("hooks", "remove", hook["hook_id"])
    assert (again.code, "hooks list" in again.err) == (1, True)
    assert (await program.call("hooks", "list")).out == ""


async def test_what_is_dead_is_listed_and_sent_again(program: Program, database_url: str) -> None:
    await program.call("hooks", "add", "https://example.com/", "--event", "session.ended")
    repository = SQLAlchemySessionRepository.from_url(database_url)
    store = HookStore(repository.engine)
    async with SessionManager(repository) as manager:
        for session_id in ("a", "b\t\x1b[31m"):
            await manager.start_session(session_id)
            await manager.end_session(session_id)
    [hook] = await store.all()
    for delivery in await store.claim(hook, 10):
        await store.failed(delivery, "the answer was 500", None)
    await repository.close()

    rows = (await program.call("hooks", "dead")).rows
    assert [row[1] for row in rows] == [hook.hook_id] * 2
    assert "\x1b" not in (await program.call("hooks", "dead")).out
    told = (await program.call("hooks", "dead", "--json")).json_lines
    assert [each["session_id"] for each in told] == ["a", "b\t\x1b[31m"]
    first = str(told[0]["delivery_id"])
    assert (await program.call("hooks", "send-again", first)).out == "to be sent again: 1\n"
    assert (await program.call("hooks", "send-again")).out == "to be sent again: 1\n"
    assert (await program.call("hooks", "dead")).out == ""


async def test_what_cannot_be_a_hook_is_refused_and_nothing_is_added(program: Program) -> None:
    for arguments, said in (
        (("ftp://example.com/", "--event", "session.ended"), "ftp://example.com/"),
        (("https://example.com/", "--event", "session.began"), "session.began"),
        (("https://example.com/", "--event", "session.ended", "--owner", ""), "owner"),
    ):
        refused = await program.call("hooks", "add", *arguments)
        assert refused.code == 2
        assert said in refused.err
    assert (await program.call("hooks", "list")).out == ""
