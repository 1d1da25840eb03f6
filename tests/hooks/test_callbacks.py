"""Hooks that a program carries out itself, and what an erasure leaves of what is owed."""

from typing import Any

import pytest

from session_router import AgentId, InvalidValueError, SessionEvent, SessionManager
from session_router.audit.erasure import erase
from session_router.audit.keys import AuditKeys
from session_router.audit.trail import Trail
from session_router.hooks import Hooks, HookStore
from session_router.pseudonyms import ErasureKey
from tests.hooks.conftest import SOON
from tests.support.waiting import eventually

WRITER = AgentId("writer", "ann")


def ignore(_: SessionEvent) -> Any:
    raise NotImplementedError


async def owes(store: HookStore, number: int) -> bool:
    return await store.owed() == number


async def test_a_callback_is_told_what_happened_while_it_was_away(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    told: list[SessionEvent] = []

    async def bill(event: SessionEvent) -> None:
        told.append(event)

    hooks.on("billing", ["session.ended"], bill)
    async with hooks:
        pass
    await manager.start_session("s", owner="acme")
    await manager.end_session("s", actor="ann", owner="acme")
    async with hooks:
        await eventually(lambda: owes(store, 0))
    [event] = told
    assert (event.session_id, event.event, event.actor) == ("s", "session_ended", "ann")


async def test_one_that_raises_is_told_again_and_given_up_in_the_end(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    asked: list[int] = []

    async def fail(event: SessionEvent) -> None:
        asked.append(event.event_id)
        raise RuntimeError("no \N{SNOWMAN} today\0")

    hooks.on("failing", ["session.ended"], fail)
    async with hooks:
        await manager.start_session("s")
        await manager.end_session("s")
        await eventually(store.dead)
    [dead] = await store.dead()
    assert (len(asked), len(set(asked)), dead.attempts) == (len(SOON) + 1, 1, len(SOON) + 1)
    assert "no" in dead.last_error


async def test_who_does_not_have_a_callback_leaves_what_it_is_owed(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    told: list[SessionEvent] = []

    async def keep(event: SessionEvent) -> None:
        told.append(event)

    hooks.on("mine", ["session.ended"], keep)
    other = Hooks(manager.repository.engine, pauses=SOON)  # type: ignore[attr-defined]
    others: list[SessionEvent] = []

    async def keep_there(event: SessionEvent) -> None:
        others.append(event)

    other.on("other", ["session.ended"], keep_there)
    async with hooks:
        pass
    async with other:
        await manager.start_session("s")
        await manager.end_session("s")
        await eventually(lambda: owes(store, 1))
    assert len(others) == 1
    async with hooks:
        await eventually(lambda: told)


@pytest.mark.parametrize("name", ["", "x" * 256, "nul\0", "\ud800"])
def test_a_name_that_cannot_be_stored_is_refused(hooks: Hooks, name: str) -> None:
    with pytest.raises(InvalidValueError, match="callback's name"):
        hooks.on(name, ["session.ended"], ignore)


async def test_a_removed_hook_is_owed_nothing_more(
    manager: SessionManager, store: HookStore, hooks: Hooks
) -> None:
    hooks.on("gone", ["session.ended"], ignore)
    async with hooks:
        pass
    await manager.start_session("s")
    await manager.end_session("s")
    assert await store.owed() == 1
    assert await store.remove("gone")
    assert not await store.remove("gone")
    assert (await store.owed(), await store.all()) == (0, [])


async def test_what_is_owed_of_an_erased_session_names_it_no_more(
    manager: SessionManager, store: HookStore, hooks: Hooks, database_url: str
) -> None:
    told: list[SessionEvent] = []

    async def keep(event: SessionEvent) -> None:
        told.append(event)

    hooks.on("late", ["session.ended", "stream.finished"], keep)
    async with hooks:
        pass
    await manager.register_agent("anns chat", WRITER)
    await manager.end_session("anns chat", actor="ann")
    async with Trail.opened(database_url) as trail:
        receipt = await erase(trail, "anns chat", AuditKeys(ErasureKey("k" * 32)))
    assert receipt is not None
    async with hooks:
        await eventually(lambda: len(told) == 2)
    assert {event.session_id for event in told} == {receipt.pseudonym}
    assert "ann" not in {event.actor for event in told}
