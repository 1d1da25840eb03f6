"""Erasing all that an owner ever had."""

from session_router import AgentId, SessionManager, SQLAlchemySessionRepository
from session_router.audit.erasure import erase_owner
from session_router.audit.keys import AuditKeys
from session_router.audit.seals import seal
from session_router.audit.trail import Trail
from session_router.audit.verification import verify
from session_router.pseudonyms import is_pseudonym
from tests.audit.test_erasure import everything
from tests.support.laws import violations
from tests.support.trail import events

WRITER = AgentId("writer", "alice")


async def test_nothing_names_an_owner_any_more_and_everybody_else_stays(
    repository: SQLAlchemySessionRepository, trail: Trail, keys: AuditKeys, database_url: str
) -> None:
    async with SessionManager(repository) as manager:
        await manager.register_agent("ended", WRITER, owner="acme")
        await manager.end_session("ended", reason="enough")
        await manager.start_session("ended", owner="other")
        for number in range(3):
            await manager.register_agent(f"live-{number}", WRITER, owner="acme")
        await manager.start_session("nobody's")
        await manager.start_session("long", owner="acme")
        for _ in range(1_200):
            await manager.interrupt_streaming_agents("long")
        await seal(trail, keys)

        receipt = await erase_owner(trail, "acme", keys, actor="the officer")

        assert receipt is not None
        assert (receipt.sessions, receipt.ended, receipt.lives) == (5, 4, 5)
        assert receipt.pseudonym == keys.pseudonyms.pseudonym("acme")
        assert await erase_owner(trail, "acme", keys) is None
        assert await erase_owner(trail, "nobody", keys) is None
    left = {s.session_id: s.owner for s in await repository.list_sessions()}
    assert left == {"ended": "other", "nobody's": None}
    told = await events(repository)
    named = {event.session_id for event in told if not is_pseudonym(event.session_id)}
    assert named == {"ended", "nobody's"}
    assert [e.detail for e in told if e.event == "session_started" and e.session_id == "ended"] == [
        "other"
    ]
    erasures = [event for event in told if event.event == "session_erased"]
    assert {event.request_id for event in erasures} == {receipt.request_id}
    assert "acme" not in await everything(database_url)
    assert (await verify(trail, keys)).violations == []
    assert await violations(repository) == []
